//! Countries that are looked up: where a record names none, and so that it shows.

use std::path::Path;

use redact::{Class, Policies, Policy};
use serde_json::json;

use super::*;
use crate::country::Countries;

static COUNTRIES: LazyLock<Countries> = LazyLock::new(|| {
    Countries::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/country/test.mmdb")).unwrap()
});

fn read_located(body: &str) -> Rows {
    read_with(body, |context| context.countries = Some(&COUNTRIES))
}

#[test]
fn a_country_is_looked_up_where_the_record_names_none_and_is_tagged() {
    let event = |more: Value| {
        let mut event = json!({"time": "2026-06-09T12:45:31Z", "kind": "call"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event.to_string()
    };
    for (more, country, tags) in [
        (json!({"source_ip": "5.6.7.8"}), json!("NL"), json!(["country_by_address"])),
        (json!({"source_ip": "[2a02:6b8::1]:443"}), json!("FI"), json!(["country_by_address"])),
        // Escaped, and null, which is the same as absent.
        (json!({"source_ip": "5.6.7\u{2e}8", "country": null}), json!("NL"), json!(["country_by_address"])),
        // What the source says stays, be it wrong or empty.
        (json!({"source_ip": "5.6.7.8", "country": "de"}), json!("de"), Value::Null),
        (json!({"source_ip": "5.6.7.8", "country": ""}), json!(""), Value::Null),
        (json!({"source_ip": "10.1.2.3"}), Value::Null, Value::Null),
        (json!({"source_ip": "9.9.9.9"}), Value::Null, Value::Null),
        (json!({"source_ip": "somewhere"}), Value::Null, Value::Null),
        (json!({}), Value::Null, Value::Null),
        // Whoever writes a tag into a record has an attribute.
        (
            json!({"source_ip": "10.1.2.3", "country": "de", "tags": ["country_by_address"]}),
            json!("de"),
            Value::Null,
        ),
    ] {
        let rows = read_located(&event(more.clone()));
        assert_eq!((rows.cell(0, "country"), rows.cell(0, "tags")), (country, tags), "{more}");
        let rows = read(event(more.clone()));
        assert_eq!(
            (rows.cell(0, "country"), rows.cell(0, "tags")),
            (more.get("country").cloned().unwrap_or_default(), Value::Null),
            "without a database: {more}"
        );
    }
    let old = event(json!({"source_ip": "5.6.7.8"})).replace("2026-06-09", "2020-06-09");
    assert_eq!(read_located(&old).cell(0, "tags"), json!(["late", "country_by_address"]));
}

#[test]
fn records_of_other_programs_have_countries_as_well() {
    let portal = r#"{"ClientCountry":"","ClientIP":"203.0.113.7","ColoCode":"FRA","Datetime":1779114181000000000,"Error":"","Method":"tools/call","PortalAUD":"aud","PortalID":"p","PromptGetName":"","ResourceReadURI":"","ServerAUD":"aud2","ServerID":"srv","ServerResponseDurationMs":57,"ServerURL":"https://mcp.example.com","SessionID":"s","Success":true,"ToolCallName":"list_zones","UserEmail":"u@example.com","UserID":"u"}"#;
    let rows = read_located(portal);
    assert_eq!((rows.cell(0, "source_ip"), rows.cell(0, "country")), (json!("203.0.113.7"), json!("US")));
    let said = read_located(&portal.replace(r#""ClientCountry":"""#, r#""ClientCountry":"de""#));
    assert_eq!((said.cell(0, "country"), said.cell(0, "tags")), (json!("de"), json!(["late"])));
    let gateway = r#"{"level":"info","time":"2026-02-12T16:09:55.675307Z","scope":"request","gateway":"default/default","src.addr":"[2a02:6b8::1]:56199","http.status":200,"protocol":"mcp","mcp.method.name":"tools/call","mcp.target":"everything","gen_ai.tool.name":"echo","mcp.session.id":"5b307a23","duration":"10ms"}"#;
    let rows = read_located(gateway);
    assert_eq!((rows.cell(0, "source_ip"), rows.cell(0, "country")), (json!("2a02:6b8::1"), json!("FI")));
}

/// An address that a policy takes out of the record is not looked up: the country would be what is left of it.
#[test]
fn an_address_that_was_redacted_has_no_country() {
    let event = r#"{"time":"2026-06-09T12:45:31Z","kind":"call","source_ip":"5.6.7.8"}"#;
    for policy in [Policy::Keep, Policy::Mask, Policy::Hash, Policy::Pseudonymise, Policy::Drop] {
        let policies = Policies::default().with(Class::IpAddress, policy);
        let redactor: &'static Redactor = Box::leak(Box::new(Redactor::new([7; 32]).with_policies(policies)));
        let rows = read_with(event, |context| {
            context.countries = Some(&COUNTRIES);
            context.redactor = redactor;
        });
        let is_kept = policy == Policy::Keep;
        assert_eq!(rows.cell(0, "source_ip") == "5.6.7.8", is_kept, "{policy:?}");
        assert_eq!(rows.cell(0, "country") == "NL", is_kept, "{policy:?}: {}", rows.cell(0, "source_ip"));
        assert_eq!(rows.cell(0, "tags").is_null(), !is_kept, "{policy:?}");
    }
}
