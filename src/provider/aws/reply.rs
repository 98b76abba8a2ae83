//! Replies are whole, of bounded size and answers to what was asked, or errors.
//!
//! The SDK's XML decoder stops at a syntax error and gives back what it has read so far: a DescribeInstances reply that
//! a proxy cut in half would become a short list of instances, and every host that is missing from it would look lost.
//! Of two lists in one document it takes the last. It does not look at all at answers that carry nothing: any page with
//! status 200 would pass for a deregistration. And it reads however much comes. So every document is read once more
//! here, to its end, before anybody believes what was made of it.

use aws_sdk_ec2::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
};
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use quick_xml::events::{BytesRef, Event};

/// Bytes of one reply at most. A page of 1,000 instances is below 10 MB.
const BODY_MAX: usize = 64 * 1024 * 1024;
/// Elements within one another at most. AWS's documents are a dozen deep.
const DEPTH_MAX: usize = 64;
/// Kinds of elements in one element at most. An instance has sixty.
const KINDS_MAX: usize = 512;
/// What may stand in one element more than once: the entries of lists, EC2's and ELBv2's.
const ENTRIES: [&[u8]; 2] = [b"item", b"member"];
/// The documents in which EC2 and ELBv2 refuse a call.
const REFUSALS: [&str; 2] = ["Response", "ErrorResponse"];

/// Why a document is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Flaw {
    /// The bytes are no text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// An element is not closed, or something is no XML.
    #[error("it ends in the middle of its XML, or is none")]
    Broken,
    /// There is no element, or more than one, or text beside it.
    #[error("it is not one element and nothing else")]
    NotOne,
    /// A document type, or entities that only one could explain. AWS sends neither.
    #[error("it has a document type, or entities of its own")]
    Entities,
    /// A list, or a value, is there twice: one of them would be lost.
    #[error("it has `{0}` twice in one element")]
    Twice(String),
    /// More than anything of AWS's has.
    #[error("its elements are nested deeper than {DEPTH_MAX}, or of more than {KINDS_MAX} kinds")]
    TooMuch,
}

/// Refuses replies that are too long, cut short, or answers to something else. One for each client of the SDK.
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
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let reply = context.response();
        if !reply.status().is_success() {
            return Ok(());
        }
        let Some(body) = reply.body().bytes() else { return Ok(()) };
        let root = root_of(body)
            .map_err(|flaw| format!("the reply of {} bytes is no whole answer: {flaw}", body.len()))?;
        let operation = config.load::<Metadata>().map_or("", Metadata::name);
        if root.strip_suffix("Response") == Some(operation) {
            Ok(())
        } else {
            let root: String = root.chars().take(64).collect();
            Err(format!("the reply is a `{root}`, which is no answer to {operation}").into())
        }
    }
}

/// Whether a body is a whole document in which the cloud refuses a call: only such a one says that nothing was done.
pub(super) fn is_refusal(body: &[u8]) -> bool {
    root_of(body).is_ok_and(|root| REFUSALS.contains(&root.as_str()))
}

/// The name of the outermost element of a document that is whole and says everything once.
fn root_of(body: &[u8]) -> Result<String, Flaw> {
    let text = std::str::from_utf8(body).map_err(|_| Flaw::NotUtf8)?;
    let mut reader = quick_xml::Reader::from_str(text);
    let mut outline = Outline::default();
    loop {
        match reader.read_event().map_err(|_| Flaw::Broken)? {
            Event::Start(start) => outline.open(start.name().as_ref())?,
            // The reader checks that it closes the element that is open.
            Event::End(_) => outline.close(),
            Event::Empty(empty) => {
                outline.open(empty.name().as_ref())?;
                outline.close();
            }
            Event::Text(words) => outline.text(words.as_ref())?,
            Event::CData(words) => outline.text(words.as_ref())?,
            Event::GeneralRef(reference) => {
                outline.text(b"&")?;
                if !is_xmls_own(&reference) {
                    return Err(Flaw::Entities);
                }
            }
            Event::DocType(_) => return Err(Flaw::Entities),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return outline.finish(),
        }
    }
}

fn is_xmls_own(reference: &BytesRef<'_>) -> bool {
    let name: &[u8] = reference;
    matches!(name, b"lt" | b"gt" | b"amp" | b"apos" | b"quot" | [b'#', ..])
}

/// What is open at one place of a document, and what was seen in it.
#[derive(Default)]
struct Outline {
    root: Option<String>,
    /// For each open element, outermost first, the names of the elements in it; entries of lists are not kept.
    open: Vec<Vec<Vec<u8>>>,
}

impl Outline {
    fn open(&mut self, name: &[u8]) -> Result<(), Flaw> {
        match self.open.last_mut() {
            None if self.root.is_some() => return Err(Flaw::NotOne),
            None => self.root = Some(String::from_utf8_lossy(name).into_owned()),
            Some(_) if ENTRIES.contains(&name) => {}
            Some(seen) if seen.len() == KINDS_MAX => return Err(Flaw::TooMuch),
            Some(seen) if seen.iter().any(|other| other == name) => {
                return Err(Flaw::Twice(name.escape_ascii().take(64).map(char::from).collect()));
            }
            Some(seen) => seen.push(name.to_owned()),
        }
        if self.open.len() == DEPTH_MAX {
            return Err(Flaw::TooMuch);
        }
        self.open.push(Vec::new());
        Ok(())
    }

    fn close(&mut self) {
        self.open.pop();
    }

    fn text(&self, words: &[u8]) -> Result<(), Flaw> {
        if self.open.is_empty() && !words.trim_ascii().is_empty() { Err(Flaw::NotOne) } else { Ok(()) }
    }

    fn finish(self) -> Result<String, Flaw> {
        if self.open.is_empty() { self.root.ok_or(Flaw::NotOne) } else { Err(Flaw::Broken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(text: &str) -> Option<Flaw> {
        root_of(text.as_bytes()).err()
    }

    #[test]
    fn a_document_is_whole_only_at_its_last_byte() {
        let whole = "<?xml version=\"1.0\"?>\n<R xmlns=\"urn:x\"><a>1</a><b/><c k=\"v\">&lt;&#65;</c></R>";
        assert_eq!(root_of(whole.as_bytes()).as_deref(), Ok("R"));
        assert_eq!(root_of(format!("{whole}\n").as_bytes()).as_deref(), Ok("R"));
        for end in 0..whole.len() {
            assert!(root_of(&whole.as_bytes()[..end]).is_err(), "cut at {end}: {}", &whole[..end]);
        }
    }

    #[test]
    fn what_is_no_document_is_not_whole() {
        for text in ["", "  ", "plain text", "<a/>b", "b<a/>", "<a/><b/>", "<a/>&lt;", "<a/><![CDATA[b]]>"] {
            assert_eq!(flaw(text), Some(Flaw::NotOne), "{text:?}");
        }
        for text in ["<a></b>", "<a><b></a></b>", "<a>", "<a/></a>", "<a>&lt</a>"] {
            assert_eq!(flaw(text), Some(Flaw::Broken), "{text:?}");
        }
        assert_eq!(root_of(&[b'<', b'a', b'>', 0xff, b'<', b'/', b'a', b'>']), Err(Flaw::NotUtf8));
        assert_eq!(flaw("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"), Some(Flaw::Entities));
        assert_eq!(flaw("<a>&b;</a>"), Some(Flaw::Entities));
    }

    #[test]
    fn what_is_said_twice_is_not_known() {
        let twice = |name: &str| Some(Flaw::Twice(name.to_owned()));
        assert_eq!(flaw("<R><list><item/><item/></list></R>"), None);
        assert_eq!(flaw("<R><list><member/><member/></list></R>"), None);
        assert_eq!(flaw("<R><list><item/></list><list/></R>"), twice("list"));
        assert_eq!(flaw("<R><item><id>1</id><id>2</id></item></R>"), twice("id"));
        assert_eq!(flaw("<R><item><id>1</id></item><item><id>2</id></item></R>"), None);
    }

    #[test]
    fn depth_and_breadth_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(flaw(&nested(DEPTH_MAX)), None);
        assert_eq!(flaw(&nested(DEPTH_MAX + 1)), Some(Flaw::TooMuch));
        let broad = |kinds: usize| {
            let kinds: Vec<String> = (0..kinds).map(|kind| format!("<a{kind}/>")).collect();
            format!("<R>{}</R>", kinds.concat())
        };
        assert_eq!(flaw(&broad(KINDS_MAX)), None);
        assert_eq!(flaw(&broad(KINDS_MAX + 1)), Some(Flaw::TooMuch));
    }

    #[test]
    fn a_refusal_is_a_whole_document_of_that_kind() {
        let refusal = "<Response><Errors><Error><Code>X</Code></Error></Errors></Response>";
        assert!(is_refusal(refusal.as_bytes()));
        assert!(is_refusal(b"<ErrorResponse><Error><Code>X</Code></Error></ErrorResponse>"));
        assert!(!is_refusal(b"<html><Errors><Error><Code>X</Code></Error></Errors></html>"));
        for end in 0..refusal.len() {
            assert!(!is_refusal(&refusal.as_bytes()[..end]), "cut at {end}");
        }
    }
}
