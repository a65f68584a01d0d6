//! CSV (RFC 4180) with protection against formula injection.

/// A CSV under construction.
pub(crate) struct Csv(csv::Writer<Vec<u8>>);

impl Csv {
    /// Starts with the names of the columns.
    pub(crate) fn new<const COLUMNS: usize>(names: [&str; COLUMNS]) -> Self {
        let mut csv = Self(csv::Writer::from_writer(Vec::new()));
        csv.row(&names);
        csv
    }

    /// Adds a row. Guards every field, because texts come from beacons that anybody can send.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, fields: &[impl AsRef<str>; COLUMNS]) {
        let fields = fields.each_ref().map(|field| guarded(field.as_ref()));
        // Writing to memory does not fail, and all rows of a caller have the same length by their type.
        let _ = self.0.write_record(&fields);
    }

    /// The text of all rows.
    pub(crate) fn finish(self) -> String {
        let bytes = self.0.into_inner().unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// Prefixes an apostrophe if a spreadsheet would run the field as a formula (OWASP, CSV injection; CWE-1236). Some
/// spreadsheets split at semicolons and tabs too, so each piece is a field.
pub(crate) fn guarded(field: &str) -> String {
    let mut guarded = String::with_capacity(field.len());
    for piece in field.split_inclusive([';', '\t']) {
        if piece.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0', '＝', '＋', '－', '＠']) {
            guarded.push('\'');
        }
        guarded.push_str(piece);
    }
    guarded
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
            ("\t=1", "'\t'=1"),
            ("a;=1;b", "a;'=1;b"),
            ("a\t@b", "a\t'@b"),
            ("\r=1", "\"'\r=1\""),
            ("a\nb", "\"a\nb\""),
            ("", ""),
        ] {
            let mut csv = Csv::new(["name", "n"]);
            csv.row(&[field, "1"]);
            assert_eq!(csv.finish(), format!("name,n\n{expected},1\n"), "{field:?}");
        }
    }
}
