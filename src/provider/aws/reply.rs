//! Replies are whole and of bounded size, or errors.
//!
//! The SDK's XML decoder stops at a syntax error and gives back what it has read so far. A DescribeInstances reply that
//! a proxy cut in half would become a short list of instances, and every host that is missing from it would look lost.
//! The length of a body is not always announced either, and the SDK reads however much comes.

use aws_sdk_ec2::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
};
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// Bytes of one reply at most. A page of 1,000 instances is below 10 MB.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// Refuses replies that are too long or cut short. One for each client of the SDK.
#[derive(Debug)]
pub(super) struct WholeReply;

impl Intercept for WholeReply {
    fn name(&self) -> &'static str {
        "WholeReply"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().take_body();
        *context.response_mut().body_mut() = SdkBody::from_body_1_x(Limited::new(body, BODY_MAX));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let reply = context.response();
        if !reply.status().is_success() {
            return Ok(());
        }
        let Some(body) = reply.body().bytes() else { return Ok(()) };
        if is_whole(body) {
            Ok(())
        } else {
            Err(format!("the reply ends in the middle of its XML, after {} bytes", body.len()).into())
        }
    }
}

/// Whether every element that the document opens is closed, and something is there at all.
fn is_whole(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let mut reader = quick_xml::Reader::from_str(text);
    let mut depth = 0_usize;
    let mut elements = 0_usize;
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Start(_)) => {
                depth += 1;
                elements += 1;
            }
            // The reader checks that it closes the element that is open.
            Ok(quick_xml::events::Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(quick_xml::events::Event::Empty(_)) => elements += 1,
            Ok(quick_xml::events::Event::Eof) => return depth == 0 && elements > 0,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn a_document_is_whole_only_at_its_last_byte() {
        let whole = "<?xml version=\"1.0\"?>\n<R xmlns=\"urn:x\"><a>1</a><b/><c k=\"v\">&lt;</c></R>";
        assert!(is_whole(whole.as_bytes()));
        assert!(is_whole(format!("{whole}\n").as_bytes()));
        for end in 0..whole.len() {
            assert!(!is_whole(&whole.as_bytes()[..end]), "cut at {end}: {}", &whole[..end]);
        }
    }

    #[test]
    fn what_is_no_document_is_not_whole() {
        for text in ["", "  ", "<a></b>", "<a><b></a></b>", "plain text"] {
            assert!(!is_whole(text.as_bytes()), "{text:?}");
        }
        assert!(!is_whole(&[0xff, 0xfe, b'<', b'a', b'/', b'>']));
    }
}
