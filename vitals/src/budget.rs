//! The budget file.
