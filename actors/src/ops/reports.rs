//! Reports that scripts make.

use super::{
    actions::{level_of, read},
    reach::missing,
};
use crate::{
    ActionAnswer, Caller, Error, System,
    scripts::{Invocation, Pointed, Wording},
};
use serde_json::Value;
use std::collections::BTreeMap;
use sutler_lua::Member;
use sutler_model::{
    Noun, Permission, PointKind, Scope, ScriptId,
    point::{ReportPoint, fill},
};

/// A report that a caller may have made.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportForm {
    /// The block it is in.
    pub script_id: ScriptId,
    /// Its function.
    pub function: String,
    /// Display name.
    pub name: String,
    /// Display text.
    pub description: String,
    /// What it asks for, and how it may be drawn.
    pub report: ReportPoint,
}

impl System {
    /// The reports a caller may have made.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::NotFound`].
    pub async fn reports(&self, caller: &Caller) -> Result<Vec<ReportForm>, Error> {
        caller.must(Permission::BillingRead)?;
        let language = self.inner.scripts.language(caller.billing_entity_id).await?;
        let form = |(pointed, report): (Pointed, ReportPoint)| {
            let wording = Wording::of(&pointed.script, language.clone());
            ReportForm {
                script_id: pointed.script.id,
                function: pointed.point().function.clone(),
                name: wording.text(&pointed.point().name),
                description: wording.text(&pointed.point().description),
                report: ReportPoint { values: wording.form(report.values), ..report },
            }
        };
        Ok(self.report_points(caller).await?.into_iter().map(form).collect())
    }

    /// Has a report made. It sees what its block's owner may, and is told who asks.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a report that is not there for the caller, [`Error::Invalid`] naming each value,
    /// [`Error::Forbidden`], [`Error::Refused`] with the report's reason.
    pub async fn make_report(
        &self,
        caller: &Caller,
        script: ScriptId,
        function: &str,
        given: &BTreeMap<String, String>,
    ) -> Result<ActionAnswer, Error> {
        caller.must(Permission::BillingRead)?;
        let found = self.report_points(caller).await?.into_iter().find(|(pointed, _)| {
            pointed.script.id == script
                && [&pointed.point().function, &pointed.point().reference].contains(&&function.to_owned())
        });
        let (pointed, report) = found.ok_or_else(|| missing(Noun::Script, script.0))?;
        let wording = Wording::of(&pointed.script, self.inner.scripts.language(caller.billing_entity_id).await?);
        let definitions = wording.form(report.values);
        let values = fill(&definitions, &BTreeMap::new(), given, "values").map_err(Error::Invalid)?;
        self.resources_there(caller, &definitions, given, "values").await?;
        let run_id = caller.run_of(&self.inner.core, pointed.script.id);
        let function = report.execution_function.as_ref().unwrap_or(&pointed.point().function);
        let customer = caller.customer_id.map(|id| id.to_string());
        let ask = Invocation {
            more: vec![
                ("parameters", Member::Texts(values.clone())),
                ("inputValues", Member::Texts(values)),
                ("customerUUID", Member::Value(customer.map_or(Value::Null, Value::from))),
                ("billingEntityUUID", Member::Value(Value::from(caller.billing_entity_id.to_string()))),
            ],
            deadline_ms: self.inner.core.settings.post_deadline_ms,
            ..Invocation::by(caller, pointed.script.clone(), function, run_id, "REPORT")
        };
        let outcome = self.inner.scripts.invoke(ask).await?;
        let answer = read(&pointed.script, run_id, caller.sees_runs_of(), &outcome)?;
        Ok(ActionAnswer { run_id, dialogue: None, answer: Some(answer) })
    }

    /// A block of a seller shows its customers only the reports that say so: it sees more than they do.
    async fn report_points(&self, caller: &Caller) -> Result<Vec<(Pointed, ReportPoint)>, Error> {
        let path = self.path(caller.billing_entity_id).await?;
        let is_one = |pointed: Pointed| {
            let PointKind::Report(report) = &pointed.point().kind else { return None };
            let report = report.clone();
            let own = match (caller.scope, pointed.script.owner) {
                (Scope::Customer(_), Scope::Customer(_)) | (Scope::Provider, Scope::Provider) => true,
                (Scope::Entity(a), Scope::Entity(b)) => a == b,
                _ => false,
            };
            let may = level_of(caller, &report.levels).unwrap_or(own);
            may.then_some((pointed, report))
        };
        let covers = |owner: Scope| owner.covers(&path, caller.customer_id) || caller.scope == owner;
        let points = self.inner.scripts.points().into_iter().filter(|pointed| covers(pointed.script.owner));
        Ok(points.filter_map(is_one).collect())
    }
}
