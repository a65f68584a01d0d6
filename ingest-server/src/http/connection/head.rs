//! Where the heads of requests end, as far as bytes tell: at blank lines.

/// The end of the first head, if a second one ends in the same bytes: a blank line ends a head.
pub(super) fn end_of_first(bytes: &[u8]) -> Option<usize> {
    let first = after_blank_line(bytes)?;
    after_blank_line(bytes.get(first..)?)?;
    Some(first)
}

fn after_blank_line(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        from += rest.iter().position(|&byte| byte == b'\n')? + 1;
        match bytes.get(from..)? {
            [b'\n', ..] => return Some(from + 1),
            [b'\r', b'\n', ..] => return Some(from + 2),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_cut_after_the_first_of_several_heads() {
        let get = "GET / HTTP/1.1\r\n\r\n";
        let cut = |text: &str| end_of_first(text.as_bytes());
        assert_eq!(cut(get), None);
        assert_eq!(cut("POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"), None);
        assert_eq!(cut(&format!("{get}GET / HTTP/1.1\r\n")), None);
        assert_eq!(cut(&format!("{get}{get}{get}")), Some(get.len()));
        assert_eq!(cut("GET / HTTP/1.1\n\nGET / HTTP/1.1\n\n"), Some(16));
        assert_eq!(cut("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Some(4));
        assert_eq!(cut(""), None);
    }
}
