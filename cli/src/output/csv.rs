//! CSV (RFC 4180) with protection against formula injection.

/// Formats a field of untrusted text. Quotes the field if needed. Prefixes an apostrophe if a spreadsheet would run the
/// field as a formula (OWASP, CSV injection; CWE-1236).
pub(crate) fn text(field: &str) -> String {
    let runs = field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0', '＝', '＋', '－', '＠']);
    let guarded = if runs { format!("'{field}") } else { field.to_owned() };
    if guarded.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

/// Joins fields that are already CSV into a line.
pub(crate) fn line(fields: &[String]) -> String {
    let mut line = fields.join(",");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_never_formulas() {
        for (field, expected) in [
            ("/a", "/a"),
            ("/a,b", "\"/a,b\""),
            ("/\"a\"", "\"/\"\"a\"\"\""),
            ("=1+1", "'=1+1"),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("a\nb", "\"a\nb\""),
            ("", ""),
        ] {
            assert_eq!(text(field), expected, "{field:?}");
        }
    }
}
