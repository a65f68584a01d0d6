//! One look: a budget file is judged once.

use crate::client::Client;
use crate::client::answer::gate::GateAnswer;
use crate::exit::Failure;
use serde_json::Value;
use vitals::budget;
use vitals::gate::{Looks, Verdict};

/// The question of a check.
pub(super) struct Question<'a> {
    pub(super) client: &'a Client,
    pub(super) site: &'a str,
    pub(super) release: Option<&'a str>,
    pub(super) period: &'a str,
    pub(super) looks: Looks,
    pub(super) record: bool,
    /// The name of the budget file, for errors.
    pub(super) name: &'a str,
    /// The budget file.
    pub(super) file: &'a str,
    /// The number of its budgets.
    pub(super) budgets: usize,
}

/// The answer of a look.
pub(super) struct Look {
    /// As the server sent it.
    pub(super) json: Value,
    pub(super) answer: GateAnswer,
    /// The verdict over all budgets.
    pub(super) verdict: Verdict,
}

impl Question<'_> {
    /// Asks the server. `from` is the start of the period, for a look at the same data as before and those since;
    /// without it the period ends now.
    ///
    /// # Errors
    /// If the server does not answer, refuses, or judges otherwise than asked: an answer that omits budgets or
    /// contradicts itself never passes.
    pub(super) async fn look(&self, from: Option<&str>) -> Result<Look, Failure> {
        let query = [
            ("period", from.is_none().then_some(self.period)),
            ("from", from),
            ("release", self.release),
            ("looks", (self.looks != Looks::default()).then_some(self.looks.name())),
            ("record", self.record.then_some("true")),
        ];
        let path = ["sites", self.site, "gate"];
        let asked = self.client.post_toml(&path, &query, self.file.to_owned()).await;
        let (json, answer): (Value, GateAnswer) = asked.map_err(|failure| failure.in_file(self.name))?;
        let verdict = budget::verdict(answer.budgets.iter().map(|budget| (budget.severity, budget.verdict)));
        let hint = "Does it run the same version as this command?";
        if answer.budgets.len() != self.budgets || verdict != answer.verdict {
            return Err(Failure::unreachable(
                format!(
                    "the server judged {} of {} budgets as {}",
                    answer.budgets.len(),
                    self.budgets,
                    answer.verdict.name()
                ),
                hint,
            ));
        }
        if answer.looks != self.looks {
            let (found, asked) = (answer.looks.name(), self.looks.name());
            return Err(Failure::unreachable(
                format!("the server judged by the rule `looks={found}`, not `looks={asked}`"),
                hint,
            ));
        }
        Ok(Look { json, answer, verdict })
    }
}
