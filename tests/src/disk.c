/*
 * A disk that fails, for tests: preloaded (LD_PRELOAD) into a server, it stands between the server and the
 * files of one folder.
 *
 * FAULTY_DISK_FOLDER  the folder.
 * FAULTY_DISK_STATE   another folder, in which:
 *   synced/NAME       what NAME would hold after a power cut: its state at its last fsync. Written here, read by
 *                     the test.
 *   full              while this file is there, no file grows: ENOSPC.
 *   broken            while this file is there, every fsync fails: EIO.
 *   lying             names, one a line, of which an fsync succeeds and keeps nothing, as with a disk, or a
 *                     setting, that does not sync at all. Read once, at the start.
 *
 * A power cut keeps of a file what was written before its last fsync, and perhaps some of what came later; here
 * nothing of that. A file that was never synced is gone. Files written through a mapping are not followed (of
 * SQLite's files only the index of the log is, which does not outlive a power cut anyway).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define FILES 64

struct range {
    off_t from, to;
};

struct file {
    char name[256];
    struct range *ranges;
    size_t count, room;
    /* Another descriptor of it, to read from. It stays open: to close one gives up the process' locks. */
    int source;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file files[FILES];
static char folder[PATH_MAX], state[PATH_MAX], lying[4096];
static size_t folder_length;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    const char *in = getenv("FAULTY_DISK_FOLDER"), *to = getenv("FAULTY_DISK_STATE");
    if (in == NULL || to == NULL || realpath(in, folder) == NULL || realpath(to, state) == NULL) {
        folder_length = 0;
        return;
    }
    folder_length = strlen(folder);
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/lying", state);
    int names = open(path, O_RDONLY);
    if (names >= 0) {
        ssize_t length = read(names, lying, sizeof lying - 1);
        lying[length > 0 ? length : 0] = 0;
        close(names);
    }
}

static int is_told(const char *what) {
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/%s", state, what);
    return access(path, F_OK) == 0;
}

/* The file behind a descriptor, where it is a regular one directly in the folder. The lock is held. */
static struct file *file_of(int fd) {
    char link[64], path[PATH_MAX];
    struct stat status;
    if (folder_length == 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= (ssize_t)folder_length + 1)
        return NULL;
    path[length] = 0;
    const char *name = path + folder_length + 1;
    if (strncmp(path, folder, folder_length) != 0 || path[folder_length] != '/' || strchr(name, '/') != NULL)
        return NULL;
    for (size_t at = 0; at < FILES; at++) {
        if (files[at].name[0] == 0)
            snprintf(files[at].name, sizeof files[at].name, "%s", name);
        if (strcmp(files[at].name, name) == 0)
            return &files[at];
    }
    fprintf(stderr, "faulty disk: too many files\n");
    abort();
}

static void note(struct file *file, off_t from, off_t to) {
    struct range *last = file->count > 0 ? &file->ranges[file->count - 1] : NULL;
    if (last != NULL && last->to == from) {
        last->to = to;
        return;
    }
    if (file->count == file->room) {
        file->room = file->room == 0 ? 64 : file->room * 2;
        file->ranges = realloc(file->ranges, file->room * sizeof *file->ranges);
        if (file->ranges == NULL)
            abort();
    }
    file->ranges[file->count++] = (struct range){from, to};
}

/* Whether these bytes may be written. The lock is held. */
static int has_room(int fd, off_t to) {
    struct stat status;
    return !is_told("full") || (fstat(fd, &status) == 0 && to <= status.st_size);
}

/* Copies what was written since the last sync. The lock is held. */
static void keep(struct file *file, int fd) {
    char from[64], path[PATH_MAX + 300], buffer[65536];
    struct stat status;
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    if (file->source == 0)
        file->source = open(from, O_RDONLY);
    int source = file->source;
    snprintf(path, sizeof path, "%s/synced/%s", state, file->name);
    int shadow = open(path, O_WRONLY | O_CREAT, 0600);
    if (source < 0 || shadow < 0 || fstat(fd, &status) != 0)
        abort();
    for (size_t at = 0; at < file->count; at++) {
        off_t place = file->ranges[at].from;
        while (place < file->ranges[at].to) {
            size_t want = (size_t)(file->ranges[at].to - place);
            ssize_t got = pread(source, buffer, want < sizeof buffer ? want : sizeof buffer, place);
            if (got <= 0)
                break;
            if (real_pwrite(shadow, buffer, (size_t)got, place) != got)
                abort();
            place += got;
        }
    }
    file->count = 0;
    if (real_ftruncate(shadow, status.st_size) != 0)
        abort();
    close(shadow);
}

static ssize_t write_at(int fd, off_t place, size_t length, ssize_t (*write_it)(int, const void *, size_t, off_t),
                        const void *bytes) {
    pthread_mutex_lock(&lock);
    struct file *file = file_of(fd);
    ssize_t written;
    if (file != NULL && !has_room(fd, place + (off_t)length)) {
        errno = ENOSPC;
        written = -1;
    } else {
        written = write_it(fd, bytes, length, place);
        if (file != NULL && written > 0)
            note(file, place, place + written);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

static ssize_t write_here(int fd, const void *bytes, size_t length, off_t place) {
    (void)place;
    return real_write(fd, bytes, length);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    off_t place = folder_length == 0 || fd < 3 ? -1 : lseek(fd, 0, SEEK_CUR);
    if (place < 0)
        return real_write(fd, bytes, length);
    return write_at(fd, place, length, write_here, bytes);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t place) {
    return folder_length == 0 ? real_pwrite(fd, bytes, length, place) : write_at(fd, place, length, real_pwrite, bytes);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t place) { return pwrite64(fd, bytes, length, place); }

static int sync_it(int fd, int (*real)(int)) {
    if (folder_length == 0)
        return real(fd);
    pthread_mutex_lock(&lock);
    struct file *file = file_of(fd);
    int result = 0;
    if (file == NULL) {
        result = real(fd);
    } else if (is_told("broken")) {
        errno = EIO;
        result = -1;
    } else if (strstr(lying, file->name) == NULL) {
        /* The real sync would only cost time: the copy is what a power cut leaves. */
        keep(file, fd);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int fsync(int fd) { return sync_it(fd, real_fsync); }

int fdatasync(int fd) { return sync_it(fd, real_fdatasync); }

int ftruncate64(int fd, off_t length) {
    if (folder_length == 0)
        return real_ftruncate(fd, length);
    pthread_mutex_lock(&lock);
    struct file *file = file_of(fd);
    struct stat status;
    /* What grows back after a cut is new; what is cut off needs no copy, its size is taken at the sync. */
    if (file != NULL && fstat(fd, &status) == 0 && length > status.st_size)
        note(file, status.st_size, length);
    int result = real_ftruncate(fd, length);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

/* A removal lasts at once. */
int unlink(const char *path) {
    const char *slash = strrchr(path, '/');
    if (folder_length > 0 && slash != NULL && (size_t)(slash - path) == folder_length &&
        strncmp(path, folder, folder_length) == 0) {
        char shadow[PATH_MAX + 300];
        snprintf(shadow, sizeof shadow, "%s/synced/%s", state, slash + 1);
        pthread_mutex_lock(&lock);
        for (size_t at = 0; at < FILES; at++) {
            if (strcmp(files[at].name, slash + 1) == 0) {
                files[at].count = 0;
                if (files[at].source > 0)
                    close(files[at].source);
                files[at].source = 0;
            }
        }
        real_unlink(shadow);
        pthread_mutex_unlock(&lock);
    }
    return real_unlink(path);
}
