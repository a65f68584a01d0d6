//! The columns of `page_view` with the values of metrics, for the statements of both backends.

use vitals::metric::Metric;

/// The columns, in the order of [`Metric::ALL`], each with a prefix such as `"v."`.
#[macro_export]
macro_rules! metric_columns {
    ($prefix:literal) => {
        concat!(
            $prefix, "lcp, ", $prefix, "inp, ", $prefix, "cls, ", $prefix, "fcp, ", $prefix, "ttfb, ",
            $prefix, "fid, ", $prefix, "tti"
        )
    };
}

/// The branches of a SQL `case` by the number of a metric: its column of a `page_view v`.
#[macro_export]
macro_rules! metric_branches {
    () => {
        "when 0 then v.lcp when 1 then v.inp when 2 then v.cls when 3 then v.fcp when 4 then v.ttfb \
         when 5 then v.fid when 6 then v.tti"
    };
}

const _: () = assert!(Metric::COUNT == 7, "a new metric needs a migration, its column here and its branch");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_a_column_and_a_branch() {
        let names = Metric::ALL.map(|metric| metric.name().to_ascii_lowercase());
        assert_eq!(metric_columns!("v."), names.clone().map(|name| format!("v.{name}")).join(", "));
        let branches = (0..).zip(&names).map(|(number, name)| format!("when {number} then v.{name}"));
        assert_eq!(metric_branches!(), branches.collect::<Vec<_>>().join(" "));
    }
}
