//! The parameters of a query request: a flat map whose keys spell out a tree, `Filter.1.Value.2`.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use url::form_urlencoded;

use crate::provider::simulated::model::api::{ApiError, DryRun, Filter};

/// The parameters of one request.
#[derive(Clone, Debug)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    pub(super) fn parse(query: &[u8]) -> Self {
        Self(form_urlencoded::parse(query).into_owned().collect())
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }

    pub(super) fn required(&self, key: &str) -> Result<&str, ApiError> {
        self.get(key).ok_or_else(|| {
            ApiError::client("MissingParameter", format!("The request must contain the parameter {key}"))
        })
    }

    pub(super) fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, ApiError> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                let text = format!("Value ({text}) for parameter {key} is invalid. Expecting a number.");
                ApiError::client("InvalidParameterValue", text)
            })
        };
        self.get(key).map(parse).transpose()
    }

    pub(super) fn dry_run(&self) -> DryRun {
        if self.get("DryRun") == Some("true") { DryRun::Yes } else { DryRun::No }
    }

    /// `Name.1`, `Name.2`, … in the order of their numbers; the numbers may have gaps.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.indices(name).into_iter().filter_map(|index| self.text(&format!("{name}.{index}"))).collect()
    }

    /// The numbers that follow `Name.`.
    pub(super) fn indices(&self, name: &str) -> BTreeSet<u32> {
        let start = format!("{name}.");
        let number = |key: &String| {
            let rest = key.strip_prefix(&start)?;
            rest.split('.').next()?.parse().ok()
        };
        self.0.keys().filter_map(number).collect()
    }

    pub(super) fn filters(&self) -> Result<Vec<Filter>, ApiError> {
        let filter = |index: u32| {
            let name = self.required(&format!("Filter.{index}.Name"))?.to_owned();
            Ok(Filter { name, values: self.list(&format!("Filter.{index}.Value")) })
        };
        self.indices("Filter").into_iter().map(filter).collect()
    }

    /// `Name.1.Key`, `Name.1.Value`, …
    pub(super) fn tags(&self, name: &str) -> Result<BTreeMap<String, String>, ApiError> {
        let tag = |index: u32| {
            let key = self.required(&format!("{name}.{index}.Key"))?.to_owned();
            Ok((key, self.text(&format!("{name}.{index}.Value")).unwrap_or_default()))
        };
        self.indices(name).into_iter().map(tag).collect()
    }

    /// Everything but what `used` says yes to.
    pub(super) fn without(&self, used: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let rest = self.0.iter().filter(|(key, _)| !used(key));
        rest.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_read_from_flat_keys() {
        let form = Form::parse(
            b"InstanceId.2=i-2&InstanceId.1=i-1&InstanceId.10=i-10&Filter.1.Name=tag%3Ateam\
              &Filter.1.Value.1=a+b&Filter.1.Value.2=c&Tag.1.Key=k&Tag.2.Key=l&Tag.2.Value=v",
        );
        assert_eq!(form.list("InstanceId"), ["i-1", "i-2", "i-10"]);
        let filters = form.filters().unwrap();
        assert_eq!(filters, [Filter { name: "tag:team".to_owned(), values: vec!["a b".into(), "c".into()] }]);
        let tags = form.tags("Tag").unwrap();
        assert_eq!(
            tags.into_iter().collect::<Vec<_>>(),
            [("k".to_owned(), String::new()), ("l".to_owned(), "v".to_owned())]
        );
    }

    #[test]
    fn what_is_missing_or_no_number_is_said() {
        let form = Form::parse(b"MinCount=two&Filter.1.Value.1=x");
        let code = |error: ApiError| error.code;
        assert_eq!(code(form.number::<u32>("MinCount").unwrap_err()), "InvalidParameterValue");
        assert_eq!(form.number::<u32>("MaxCount").unwrap(), None);
        assert_eq!(code(form.filters().unwrap_err()), "MissingParameter");
    }
}
