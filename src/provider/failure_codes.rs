//! The one table that reads AWS's error codes.
//!
//! What a failed call means for the fleet depends on its code, and hardly on its HTTP status: a capacity refusal is a
//! 500, a throttle of EC2 a 503, one of ELBv2 a 400. Both doors to a cloud (the real one and the model) send their codes
//! through here, so that a class proved right against the model is the class that production sees. Nothing above the
//! provider looks at a code.
//!
//! Reading a code wrongly costs money in one direction only: a refusal taken for *unknown* is replayed in vain, but an
//! unknown outcome taken for a refusal buys the machine twice. Whatever is not recognised is therefore a refusal only
//! where the cloud itself says that it judged the request (4xx).

use crate::domain::failure::FailureClass;

/// One pool (a type in a zone, or a subnet) has no room; another one may.
const CAPACITY: &[&str] = &[
    "InsufficientInstanceCapacity",
    "InsufficientCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientReservedInstancesCapacity",
    "InsufficientFreeAddressesInSubnet",
    "ReservationCapacityExceeded",
    "UnfulfillableCapacity",
    // The type is not offered in this zone: as lasting as a lack of room, and answered the same way.
    "Unsupported",
];

/// A limit of the account or of a group: no other zone helps, a person or time does.
const QUOTA: &[&str] = &[
    "Blocked",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "NetworkInterfaceLimitExceeded",
    "PendingVerification",
    "ResourceCountExceeded",
    // Of route tables, whatever its name suggests: it is no throttle.
    "ResourceCountLimitExceeded",
    "SpotMaxPriceTooLow",
    "TooManyRegistrationsForTargetId",
    "TooManyTargets",
    "VcpuLimitExceeded",
    "VolumeLimitExceeded",
];

/// Too many calls: this one was not looked at.
const THROTTLED: &[&str] = &[
    "EC2ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// The credentials may not, or are no longer good.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
];

/// The thing named is not there, or not there yet: reads lag behind launches.
const NOT_FOUND: &[&str] = &[
    "InvalidLaunchTemplateId.VersionNotFound",
    "InvalidLaunchTemplateName.NotFoundException",
    // ELBv2 says so of an instance that it does not see running (yet).
    "InvalidTarget",
    "InvalidTargetException",
    "TargetGroupNotFound",
    "TargetGroupNotFoundException",
];

/// The cloud gave up in the middle: the work may or may not be done.
const UNKNOWN: &[&str] = &[
    "ConnectionReset",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServerInternal",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "Timeout",
    "Unavailable",
];

/// What a failed call means. `http_status` is `None` where no answer came at all.
///
/// `DryRunOperation` is no failure and must not be asked about: it is how a dry run says yes.
#[must_use]
pub fn classify(code: &str, http_status: Option<u16>) -> FailureClass {
    known(code).unwrap_or(match http_status {
        Some(429) => FailureClass::Throttled,
        Some(401 | 403) => FailureClass::Denied,
        // The server gave up waiting for the rest of the request: it never judged it.
        Some(408) => FailureClass::Unknown,
        // The cloud read the request and refused it, so nothing was done; a code that this table does not know is
        // nearly always one more way of asking for something wrong, and replaying the same bytes cannot mend it.
        Some(400..=499) => FailureClass::Invalid,
        // 5xx, or no answer, or an answer that is none (a proxy's redirect): the work may be done.
        _ => FailureClass::Unknown,
    })
}

fn known(code: &str) -> Option<FailureClass> {
    let by_name = [
        (CAPACITY, FailureClass::Capacity),
        (QUOTA, FailureClass::Quota),
        (THROTTLED, FailureClass::Throttled),
        (DENIED, FailureClass::Denied),
        (NOT_FOUND, FailureClass::NotFound),
        (UNKNOWN, FailureClass::Unknown),
        (&["IdempotentParameterMismatch"], FailureClass::TokenMismatch),
        (&["IdempotentInstanceTerminated"], FailureClass::TokenSpent),
        (&["OperationNotPermitted"], FailureClass::Protected),
        (&["TagPolicyViolation"], FailureClass::Invalid),
    ];
    let named = by_name.into_iter().find(|(codes, _)| codes.contains(&code)).map(|(_, class)| class);
    named.or_else(|| by_shape(code))
}

/// EC2 coins codes by pattern; these patterns are documented, their members are too many to list.
fn by_shape(code: &str) -> Option<FailureClass> {
    // An image that is gone is a fault of the template, not of reads that lag.
    if code.starts_with("InvalidAMIID.") {
        return Some(FailureClass::Invalid);
    }
    if code.ends_with(".NotFound") {
        return Some(FailureClass::NotFound);
    }
    if code.starts_with("InvalidParameter") {
        return Some(FailureClass::Invalid);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_refusal_is_one_though_it_comes_as_a_500() {
        for code in CAPACITY {
            assert_eq!(classify(code, Some(500)), FailureClass::Capacity, "{code}");
        }
        assert_eq!(classify("Unsupported", Some(400)), FailureClass::Capacity);
    }

    #[test]
    fn limits_of_the_account_are_not_pools_and_not_throttles() {
        for code in ["VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded"] {
            assert_eq!(classify(code, Some(400)), FailureClass::Quota, "{code}");
        }
        for code in ["PendingVerification", "Blocked", "SpotMaxPriceTooLow", "ResourceCountExceeded"] {
            assert_eq!(classify(code, Some(400)), FailureClass::Quota, "{code}");
        }
        assert_eq!(classify("ResourceCountLimitExceeded", Some(400)), FailureClass::Quota);
        assert_eq!(classify("TooManyTargets", Some(400)), FailureClass::Quota);
    }

    #[test]
    fn throttles_are_told_apart_from_outages_of_the_same_status() {
        assert_eq!(classify("RequestLimitExceeded", Some(503)), FailureClass::Throttled);
        assert_eq!(classify("Throttling", Some(400)), FailureClass::Throttled);
        assert_eq!(classify("SomethingNew", Some(429)), FailureClass::Throttled);
        assert_eq!(classify("Unavailable", Some(503)), FailureClass::Unknown);
        assert_eq!(classify("ServiceUnavailable", Some(503)), FailureClass::Unknown);
    }

    #[test]
    fn tokens_have_classes_of_their_own() {
        assert_eq!(classify("IdempotentParameterMismatch", Some(400)), FailureClass::TokenMismatch);
        assert_eq!(classify("IdempotentInstanceTerminated", Some(400)), FailureClass::TokenSpent);
    }

    #[test]
    fn what_is_absent_is_not_what_is_wrong() {
        for code in ["InvalidInstanceID.NotFound", "InvalidSubnetID.NotFound", "TargetGroupNotFound"] {
            assert_eq!(classify(code, Some(400)), FailureClass::NotFound, "{code}");
        }
        for code in ["InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateName.NotFoundException"] {
            assert_eq!(classify(code, Some(400)), FailureClass::NotFound, "{code}");
        }
        assert_eq!(classify("InvalidTarget", Some(400)), FailureClass::NotFound);
        for code in ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed"] {
            assert_eq!(classify(code, Some(400)), FailureClass::Invalid, "{code}");
        }
        for code in ["InvalidParameterValue", "InvalidParameterCombination", "TagPolicyViolation"] {
            assert_eq!(classify(code, Some(400)), FailureClass::Invalid, "{code}");
        }
    }

    #[test]
    fn credentials_and_protection() {
        for code in ["UnauthorizedOperation", "AuthFailure", "AccessDenied", "RequestExpired"] {
            assert_eq!(classify(code, Some(403)), FailureClass::Denied, "{code}");
        }
        assert_eq!(classify("OperationNotPermitted", Some(400)), FailureClass::Protected);
        assert_eq!(classify("NeverSeen", Some(403)), FailureClass::Denied);
    }

    #[test]
    fn nothing_unrecognised_is_a_refusal_unless_the_cloud_judged_it() {
        assert_eq!(classify("NeverSeen", Some(400)), FailureClass::Invalid);
        for status in [None, Some(200), Some(302), Some(408), Some(500), Some(502), Some(503), Some(504)] {
            assert_eq!(classify("NeverSeen", status), FailureClass::Unknown, "{status:?}");
            assert_eq!(classify("", status), FailureClass::Unknown, "{status:?}");
        }
        assert_eq!(classify("InternalError", Some(500)), FailureClass::Unknown);
        assert_eq!(classify("ConnectionReset", None), FailureClass::Unknown);
    }

    #[test]
    fn no_code_stands_in_two_lists() {
        let mut all: Vec<&str> = [CAPACITY, QUOTA, THROTTLED, DENIED, NOT_FOUND, UNKNOWN].concat();
        let before = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), before);
    }
}
