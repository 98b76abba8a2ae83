//! The describes of EC2.

use crate::domain::ids::{SubnetId, Zone};
use crate::domain::launch::TemplateRef;
use crate::provider::InstanceState;
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::api::{
    ApiError, DescribeInstances, Filter, InstancePage, Subnet, TemplateVersionView, TemplateView,
};
use crate::provider::simulated::model::instance::Instance;
use crate::provider::simulated::options::parts::TemplateOptions;

/// EC2 answers with at most so many instances a page.
const MAX_RESULTS: usize = 1000;
/// A filter has at most so many values.
const MAX_FILTER_VALUES: usize = 200;
/// And is not asked for fewer than these.
const MIN_RESULTS: usize = 5;

/// EC2's name of an instance's state.
#[must_use]
pub(crate) fn state_name(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Pending => "pending",
        InstanceState::Running => "running",
        InstanceState::ShuttingDown => "shutting-down",
        InstanceState::Terminated => "terminated",
        InstanceState::Stopping => "stopping",
        InstanceState::Stopped => "stopped",
    }
}

impl Model {
    /// DescribeInstances. Without `MaxResults` everything comes on one page.
    pub(crate) fn describe_instances(&self, request: &DescribeInstances) -> Result<InstancePage, ApiError> {
        if let Some(size) = request.max_results {
            if !request.ids.is_empty() {
                let text = "The parameter instancesSet cannot be used with the parameter maxResults";
                return Err(ApiError::client("InvalidParameterCombination", text));
            }
            if !(MIN_RESULTS..=MAX_RESULTS).contains(&size) {
                let text = format!(
                    "Value ( {size} ) for parameter maxResults is invalid. Expecting {MIN_RESULTS} to {MAX_RESULTS}."
                );
                return Err(ApiError::client("InvalidParameterValue", text));
            }
        }
        for filter in &request.filters {
            check_filter(filter)?;
        }
        let after = request.next_token.as_deref().map(read_token).transpose()?;
        let candidates: Vec<&Instance> = if request.ids.is_empty() {
            self.instances.values().filter(|one| one.visible_at <= self.now).collect()
        } else {
            self.named(&request.ids)?
        };
        let mut matching = candidates
            .into_iter()
            .filter(|one| after.is_none_or(|after| one.id.as_str() > after))
            .filter(|one| request.filters.iter().all(|filter| matches(one, filter)));
        let size = request.max_results.unwrap_or(usize::MAX);
        let instances: Vec<Instance> = matching.by_ref().take(size).cloned().collect();
        let more = matching.next().is_some();
        let next_token = instances.last().filter(|_| more).map(|last| format!("after:{}", last.id));
        Ok(InstancePage { instances, next_token })
    }

    /// DescribeSubnets: the ones named, or all.
    pub(crate) fn subnets(&self, ids: &[SubnetId]) -> Result<Vec<Subnet>, ApiError> {
        let subnet = |(id, zone): (&SubnetId, &Zone)| Subnet { id: id.clone(), zone: zone.clone() };
        if ids.is_empty() {
            return Ok(self.subnets.iter().map(subnet).collect());
        }
        let find = |id: &SubnetId| {
            self.subnets.get_key_value(id).map(subnet).ok_or_else(|| {
                ApiError::client("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
            })
        };
        ids.iter().map(find).collect()
    }

    /// DescribeAvailabilityZones.
    pub(crate) fn zones(&self) -> Vec<Zone> {
        let zones: std::collections::BTreeSet<&Zone> = self.subnets.values().collect();
        zones.into_iter().cloned().collect()
    }

    /// DescribeLaunchTemplates: the ones named, or all.
    pub(crate) fn templates(&self, named: &[TemplateRef]) -> Result<Vec<TemplateView>, ApiError> {
        let view = |template: &TemplateOptions| TemplateView {
            id: template.id.clone(),
            name: template.name.clone(),
            default_version: template.default_version,
            latest_version: latest(template),
        };
        if named.is_empty() {
            return Ok(self.templates.values().map(view).collect());
        }
        named.iter().map(|template| self.template(template).map(view)).collect()
    }

    /// DescribeLaunchTemplateVersions: the ones named (`$Latest`, `$Default`, a number), or all.
    pub(crate) fn template_versions(
        &self,
        template: &TemplateRef,
        versions: &[String],
    ) -> Result<Vec<TemplateVersionView>, ApiError> {
        if versions.is_empty() {
            let count = latest(self.template(template)?);
            return (1..=count).map(|number| self.template_version(template, &number.to_string())).collect();
        }
        versions.iter().map(|version| self.template_version(template, version)).collect()
    }

    pub(super) fn template_version(
        &self,
        named: &TemplateRef,
        version: &str,
    ) -> Result<TemplateVersionView, ApiError> {
        let template = self.template(named)?;
        let number = match version {
            "$Latest" => Some(latest(template)),
            "$Default" => Some(template.default_version),
            text => text.parse().ok(),
        };
        let Some(number) = number else {
            let text = format!(
                "Invalid launch template version: '{version}'. Expecting a number, $Latest or $Default."
            );
            return Err(ApiError::client("InvalidLaunchTemplateVersion.Malformed", text));
        };
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let Some(data) = index.and_then(|index| template.versions.get(index)) else {
            let text = format!("Could not find launch template version {number} of {named}.");
            return Err(ApiError::client("InvalidLaunchTemplateId.VersionNotFound", text));
        };
        Ok(TemplateVersionView {
            template_id: template.id.clone(),
            template_name: template.name.clone(),
            number,
            default_version: template.default_version,
            data: data.clone(),
        })
    }

    fn template(&self, named: &TemplateRef) -> Result<&TemplateOptions, ApiError> {
        match named {
            TemplateRef::Id(id) => self.templates.get(id).ok_or_else(|| {
                let text = format!("The specified launch template, with template ID {id}, does not exist.");
                ApiError::client("InvalidLaunchTemplateId.NotFound", text)
            }),
            TemplateRef::Name(name) => {
                self.templates.values().find(|template| template.name == *name).ok_or_else(|| {
                    let text =
                        format!("The specified launch template, with template name {name}, does not exist.");
                    ApiError::client("InvalidLaunchTemplateName.NotFoundException", text)
                })
            }
        }
    }
}

fn latest(template: &TemplateOptions) -> u64 {
    u64::try_from(template.versions.len()).unwrap_or(u64::MAX)
}

fn read_token(token: &str) -> Result<&str, ApiError> {
    token
        .strip_prefix("after:")
        .ok_or_else(|| ApiError::client("InvalidNextToken", format!("Invalid value for nextToken: {token}")))
}

fn check_filter(filter: &Filter) -> Result<(), ApiError> {
    const KNOWN: [&str; 12] = [
        "availability-zone",
        "client-token",
        "image-id",
        "instance-id",
        "instance-lifecycle",
        "instance-state-code",
        "instance-state-name",
        "instance-type",
        "private-ip-address",
        "reservation-id",
        "subnet-id",
        "tag-key",
    ];
    if filter.values.len() > MAX_FILTER_VALUES {
        let text =
            format!("The maximum number of filter values specified on a single call is {MAX_FILTER_VALUES}");
        return Err(ApiError::client("FilterLimitExceeded", text));
    }
    if filter.name.starts_with("tag:") || KNOWN.contains(&filter.name.as_str()) {
        return Ok(());
    }
    Err(ApiError::client("InvalidParameterValue", format!("The filter '{}' is invalid", filter.name)))
}

fn matches(instance: &Instance, filter: &Filter) -> bool {
    let any = |text: &str| filter.values.iter().any(|pattern| glob(pattern.as_bytes(), text.as_bytes()));
    if let Some(key) = filter.name.strip_prefix("tag:") {
        return instance.tags.get(key).is_some_and(|value| any(value));
    }
    match filter.name.as_str() {
        "availability-zone" => any(instance.zone.as_str()),
        "client-token" => instance.client_token.as_deref().is_some_and(any),
        "image-id" => any(&instance.image_id),
        "instance-id" => any(instance.id.as_str()),
        "instance-lifecycle" => instance.market == crate::domain::launch::Market::Spot && any("spot"),
        "instance-state-code" => any(&state_code(instance.state).to_string()),
        "instance-state-name" => any(state_name(instance.state)),
        "instance-type" => any(instance.instance_type.as_str()),
        "private-ip-address" => any(&instance.address.to_string()),
        "reservation-id" => any(&instance.reservation),
        "subnet-id" => any(instance.subnet.as_str()),
        "tag-key" => instance.tags.keys().any(|key| any(key)),
        _ => false,
    }
}

/// EC2's number of an instance's state.
#[must_use]
pub(crate) fn state_code(state: InstanceState) -> u16 {
    match state {
        InstanceState::Pending => 0,
        InstanceState::Running => 16,
        InstanceState::ShuttingDown => 32,
        InstanceState::Terminated => 48,
        InstanceState::Stopping => 64,
        InstanceState::Stopped => 80,
    }
}

/// EC2's wildcards: `*` for any text, `?` for one character. Goes back to the last `*` only, so it takes time in the
/// product of both lengths at worst.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_those_of_ec2() {
        for (pattern, text, hit) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("w*b", "web", true),
            ("*", "", true),
            ("?", "", false),
            ("we?", "web", true),
            ("*a*b", "xaxb", true),
            ("*a*b", "xbxa", false),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), hit, "{pattern} {text}");
        }
    }
}
