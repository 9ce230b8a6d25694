//! A set of rules: loaded whole or not at all, and exchanged whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemas::limits::{SIGMA_FILE_BYTES_MAX, SIGMA_RULES_MAX};

use crate::asked::{Answers, Questions};
use crate::column::{Field, Fields, Value};
use crate::correlation::Correlation;
use crate::error::Error;
use crate::lists::{Lists, files, read_text};
use crate::matcher::lowered;
use crate::nearest::nearest;
use crate::node::Body;
use crate::parse::{Document, Parsed, documents, is_empty};
use crate::rule::{Level, Rule, What};
use crate::{digest, shipped};

/// What goes into a digest beside rules and lists. Raise it whenever the same rule could match other events, or be told of another entity.
const EVALUATOR_VERSION: &str = "4";

/// Where rules come from.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Leave the shipped pack out.
    pub without_shipped: bool,
    /// Files `*.yml` and `*.yaml` of one's own. A rule with the id of a shipped one takes its place.
    pub rules: Option<PathBuf>,
    /// Lists that placeholders stand for; see [`Lists::read`].
    pub lists: Option<PathBuf>,
    /// Ids or names of rules that tell nothing; correlations still see them.
    pub disabled: BTreeSet<String>,
}

/// A set of rules. To reload is to load another and to put it in the place of the first.
#[derive(Debug, Clone)]
pub struct Rules {
    /// By id.
    rules: Vec<Rule>,
    /// Places of single rules that are asked about an event of that kind, in lower case.
    by_kind: BTreeMap<String, (Vec<usize>, Answers)>,
    /// Places of those that are asked about every other kind.
    any_kind: (Vec<usize>, Answers),
    questions: Questions,
    /// Places of correlations, each after those it joins.
    correlations: Vec<usize>,
    digest: String,
    kind: Option<Field>,
}

/// A rule before its place is known.
struct Draft {
    document: Document,
    id: String,
    is_shipped: bool,
}

impl Rules {
    /// Loads the shipped pack and one's own, with every error that is found.
    pub fn load(options: &Options) -> Result<Rules, Error> {
        let lists = options.lists.as_deref().map(Lists::read).transpose()?.unwrap_or_default();
        let mut own = Vec::new();
        let directory = options.rules.as_deref();
        let paths =
            directory.map(|directory| files(directory, &["yml", "yaml"])).transpose()?.unwrap_or_default();
        for path in paths {
            own.push((path.display().to_string(), read_text(&path, SIGMA_FILE_BYTES_MAX)?));
        }
        // Whoever names a directory means rules of their own: without any it is the wrong one, or was not there when it was mounted.
        if let Some(directory) = directory.filter(|_| own.iter().all(|(_, text)| is_empty(text))) {
            return Err(Error::Rules(vec![format!(
                "{}: no rule is in it: put files *.yml or *.yaml there (directories in it are not entered), or take it out of the settings, for the shipped ones alone",
                directory.display()
            )]));
        }
        let shipped: &[(&str, &str)] = if options.without_shipped { &[] } else { &shipped::RULES };
        let shipped = shipped.iter().map(|(name, text)| (shipped::file(name), (*text).to_owned()));
        Rules::from_texts(shipped.collect(), own, &lists, &options.disabled)
    }

    /// The set of these files, each a name for messages and its text.
    pub(crate) fn from_texts(
        shipped: Vec<(String, String)>,
        own: Vec<(String, String)>,
        lists: &Lists,
        disabled: &BTreeSet<String>,
    ) -> Result<Rules, Error> {
        let mut wrong = Vec::new();
        let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
        for (texts, is_shipped) in [(shipped, true), (own, false)] {
            for document in
                texts.iter().flat_map(|(file, text)| documents(file, text, &mut wrong)).collect::<Vec<_>>()
            {
                match id(&document) {
                    Err(what) => wrong.push(format!("{}: {what}", document.place)),
                    Ok(id) => {
                        if let Some(other) = drafts.get(&id).filter(|other| other.is_shipped == is_shipped) {
                            wrong.push(format!(
                                "{}: {} has the id {id} too: give one a new id",
                                document.place, other.document.place
                            ));
                        }
                        drafts.insert(id.clone(), Draft { document, id, is_shipped });
                    }
                }
            }
        }
        if drafts.len() > SIGMA_RULES_MAX {
            wrong.push(format!("{} rules, at most {SIGMA_RULES_MAX}: remove some", drafts.len()));
        }
        if !wrong.is_empty() {
            return Err(Error::Rules(wrong));
        }
        let drafts: Vec<Draft> = drafts.into_values().collect();
        let places = places(&drafts, &mut wrong);
        let mut rules = Vec::new();
        for draft in &drafts {
            match compile(draft, lists, &places, disabled) {
                Ok(rule) => rules.push(rule),
                Err(what) => wrong.push(format!("{}: {what}", draft.document.place)),
            }
        }
        for name in disabled.iter().filter(|name| !places.contains_key(name.as_str())) {
            let near = nearest(name, places.keys().copied()).map_or_else(
                || "remove it from the settings".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            wrong.push(format!("settings: no rule `{name}` to switch off: {near}"));
        }
        if !wrong.is_empty() {
            return Err(Error::Rules(wrong));
        }
        Rules::assemble(rules, &drafts, lists)
    }

    fn assemble(mut rules: Vec<Rule>, drafts: &[Draft], lists: &Lists) -> Result<Rules, Error> {
        let correlations = in_order(&rules, drafts)?;
        for at in &correlations {
            inherit(&mut rules, *at);
        }
        quieten(&mut rules);
        for at in 0..rules.len() {
            if let (Some(rule), Some(draft)) = (rules.get(at), drafts.get(at))
                && !rule.is_correlation()
            {
                let found = digest_of(rule, draft, lists, &[])?;
                set_digest(&mut rules, at, found);
            }
        }
        for at in &correlations {
            let Some((rule, draft)) = rules.get(*at).zip(drafts.get(*at)) else { continue };
            let joined: Vec<String> =
                stages(rule).iter().filter_map(|at| rules.get(*at)).map(|rule| rule.digest.clone()).collect();
            let found = digest_of(rule, draft, lists, &joined)?;
            set_digest(&mut rules, *at, found);
        }
        let joined: BTreeSet<usize> =
            correlations.iter().flat_map(|at| rules.get(*at)).flat_map(stages).copied().collect();
        let (mut by_kind, mut any_kind) = (BTreeMap::<String, Vec<usize>>::new(), Vec::new());
        let mut kinds = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            let What::Single(body) = &rule.body else { continue };
            if rule.is_active() && (rule.alerts || joined.contains(&at)) {
                kinds.push((at, body.kinds()));
            }
        }
        for kind in kinds.iter().flat_map(|(_, kinds)| kinds.iter().flatten()) {
            by_kind.entry(kind.clone()).or_default();
        }
        for (at, kinds) in kinds {
            let fits = |kind: &String| kinds.as_ref().is_none_or(|kinds| kinds.contains(kind));
            by_kind.iter_mut().filter(|(kind, _)| fits(kind)).for_each(|(_, places)| places.push(at));
            if kinds.is_none() {
                any_kind.push(at);
            }
        }
        let mut questions = Questions::default();
        for rule in &mut rules {
            if let What::Single(body) = &mut rule.body {
                body.ask(&mut questions);
            }
        }
        let answered = by_kind.into_iter().map(|(kind, places)| {
            let answers = questions.of_kind(&kind);
            (kind, (places, answers))
        });
        let (by_kind, any_kind) = (answered.collect(), (any_kind, questions.unanswered()));
        let mut hasher = digest::hasher("tachograph sigma rules v1");
        digest::text(&mut hasher, EVALUATOR_VERSION);
        rules.iter().for_each(|rule| digest::text(&mut hasher, &rule.digest));
        let digest = hasher.finalize().to_hex().to_string();
        Ok(Rules { rules, by_kind, any_kind, questions, correlations, digest, kind: Field::of("kind").ok() })
    }

    /// Rules on single events that match this one, those that only feed correlations among them, by id.
    pub fn matches(&self, event: &dyn Fields) -> Vec<&Rule> {
        self.matching(event).into_iter().filter_map(|at| self.rules.get(at)).collect()
    }

    pub(crate) fn matching(&self, event: &dyn Fields) -> Vec<usize> {
        let kind = self.kind.map_or(Value::Null, |kind| kind.read(event));
        let asked_of = |places: &[usize], answers: &Answers| {
            answers.of(&self.questions, event, |asked| {
                let fits = |at: &&usize| match self.rules.get(**at).map(|rule| &rule.body) {
                    Some(What::Single(body)) => body.matches(asked),
                    _ => false,
                };
                places.iter().filter(fits).copied().collect()
            })
        };
        let (places, answers) = &self.any_kind;
        let Value::Text(kind) = kind else { return asked_of(places, answers) };
        let lower = lowered(kind);
        match self.by_kind.get(lower.as_ref()) {
            // What is known of a kind is known of its own spelling: a rule may ask for another.
            Some((places, known)) if lower == kind => asked_of(places, known),
            Some((places, _)) => asked_of(places, answers),
            None => asked_of(places, answers),
        }
    }

    /// All rules, by id.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of that id or name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == name || rule.name.as_deref() == Some(name))
    }

    /// 64 hex digits that name this set: its rules, the lists they use, and the way they are evaluated.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Correlations that can match, each after those it joins.
    pub(crate) fn correlations(&self) -> impl Iterator<Item = (usize, &Rule, &Correlation)> {
        self.correlations.iter().filter_map(|at| match self.rules.get(*at) {
            Some(rule) if rule.is_active() => match &rule.body {
                What::Correlation(correlation) => Some((*at, rule, correlation)),
                What::Single(_) => None,
            },
            _ => None,
        })
    }
}

/// The id of a document, which alerts will name: a UUID.
fn id(document: &Document) -> Result<String, String> {
    let id = match &document.parsed {
        Parsed::Rule(rule) => &rule.id,
        Parsed::Correlation(rule) => &rule.id,
    };
    let Some(id) = id.as_ref().map(|id| id.to_ascii_lowercase()) else {
        return Err("no `id`: add a UUID, which alerts will name".to_owned());
    };
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    let is_uuid =
        lengths == [8, 4, 4, 4, 12] && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if is_uuid { Ok(id) } else { Err("the `id` is no UUID: make one with uuidgen".to_owned()) }
}

/// Places of rules by id and by name.
fn places<'a>(drafts: &'a [Draft], wrong: &mut Vec<String>) -> BTreeMap<&'a str, usize> {
    let mut places = BTreeMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        places.insert(draft.id.as_str(), at);
    }
    for (at, draft) in drafts.iter().enumerate() {
        let name = match &draft.document.parsed {
            Parsed::Rule(rule) => rule.name.as_deref(),
            Parsed::Correlation(rule) => rule.name.as_deref(),
        };
        if let Some(name) = name
            && places.insert(name, at).is_some()
        {
            wrong.push(format!("{}: the name `{name}` is taken: choose another", draft.document.place));
        }
    }
    places
}

fn compile(
    draft: &Draft,
    lists: &Lists,
    places: &BTreeMap<&str, usize>,
    disabled: &BTreeSet<String>,
) -> Result<Rule, String> {
    let mut used = BTreeSet::new();
    let is_off = |name: &Option<String>| {
        disabled.contains(&draft.id) || name.as_ref().is_some_and(|name| disabled.contains(name))
    };
    let no_level = || "no `level`: say informational, low, medium, high or critical".to_owned();
    let file = draft.document.file.clone();
    let mut rule = match &draft.document.parsed {
        Parsed::Rule(rule) => {
            if rule.logsource.product.as_deref() != Some("tachograph") {
                return Err(
                    "it is for another log: write `logsource: {product: tachograph, service: events}`"
                        .to_owned(),
                );
            }
            Rule {
                id: draft.id.clone(),
                name: rule.name.clone(),
                title: rule.title.clone(),
                description: rule.description.clone(),
                level: Level::of(rule.level.ok_or_else(no_level)?),
                tags: rule.tags.clone(),
                falsepositives: rule.falsepositives.clone(),
                references: rule.references.clone(),
                file,
                alerts: !is_off(&rule.name),
                is_disabled: is_off(&rule.name),
                lists: Vec::new(),
                waits_for: Vec::new(),
                body: What::Single(Body::compile(&rule.detection, lists, &mut used)?),
                digest: String::new(),
            }
        }
        Parsed::Correlation(rule) => Rule {
            id: draft.id.clone(),
            name: rule.name.clone(),
            title: rule.title.clone(),
            description: rule.description.clone(),
            level: Level::of(rule.level.ok_or_else(no_level)?),
            tags: rule.tags.clone(),
            falsepositives: rule.falsepositives.clone(),
            references: rule.references.clone(),
            file,
            alerts: !is_off(&rule.name),
            is_disabled: is_off(&rule.name),
            lists: Vec::new(),
            waits_for: Vec::new(),
            body: What::Correlation(Correlation::compile(rule, |name| {
                places.get(name).or_else(|| places.get(name.to_ascii_lowercase().as_str())).copied()
            })?),
            digest: String::new(),
        },
    };
    rule.waits_for = used.iter().filter(|name| lists.get(name).is_none()).cloned().collect();
    rule.lists = used.into_iter().collect();
    match rule.waits_for.first() {
        Some(list) if !draft.is_shipped => {
            let near = nearest(list, lists.names())
                .map(|near| format!(", did you mean `{near}`?"))
                .unwrap_or_default();
            Err(format!("no list `{list}`: put {list}.txt or {list}.cidr into the directory of lists{near}"))
        }
        _ => Ok(rule),
    }
}

fn stages(rule: &Rule) -> &[usize] {
    match &rule.body {
        What::Correlation(correlation) => &correlation.stages,
        What::Single(_) => &[],
    }
}

/// Correlations in an order in which each comes after those it joins.
fn in_order(rules: &[Rule], drafts: &[Draft]) -> Result<Vec<usize>, Error> {
    let mut waiting: BTreeSet<usize> =
        (0..rules.len()).filter(|at| rules.get(*at).is_some_and(Rule::is_correlation)).collect();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |at: &usize| {
            rules.get(*at).is_some_and(|rule| !stages(rule).iter().any(|stage| waiting.contains(stage)))
        };
        let ready: Vec<usize> = waiting.iter().filter(|at| is_ready(at)).copied().collect();
        if ready.is_empty() {
            let circle = waiting.iter().filter_map(|at| drafts.get(*at));
            let circle = circle.map(|draft| {
                format!("{}: it joins itself through others: break the circle", draft.document.place)
            });
            return Err(Error::Rules(circle.collect()));
        }
        waiting.retain(|at| !ready.contains(at));
        ordered.extend(ready);
    }
    Ok(ordered)
}

/// A correlation waits for what those that it joins wait for.
fn inherit(rules: &mut [Rule], at: usize) {
    let Some(rule) = rules.get(at) else { return };
    let joined = stages(rule).iter().filter_map(|stage| rules.get(*stage));
    let waits_for: BTreeSet<String> = joined.flat_map(|stage| stage.waits_for.clone()).collect();
    if let Some(rule) = rules.get_mut(at) {
        rule.waits_for = waits_for.into_iter().collect();
    }
}

/// What a correlation joins tells nothing by itself, unless a correlation that joins it says `generate`.
fn quieten(rules: &mut [Rule]) {
    let (mut joined, mut generated) = (BTreeSet::<usize>::new(), BTreeSet::<usize>::new());
    for rule in rules.iter() {
        let What::Correlation(correlation) = &rule.body else { continue };
        joined.extend(&correlation.stages);
        generated.extend(correlation.stages.iter().filter(|_| correlation.generate));
    }
    for (at, rule) in rules.iter_mut().enumerate() {
        rule.alerts &= !joined.contains(&at) || generated.contains(&at);
    }
}

fn set_digest(rules: &mut [Rule], at: usize, digest: String) {
    if let Some(rule) = rules.get_mut(at) {
        rule.digest = digest;
    }
}

fn digest_of(rule: &Rule, draft: &Draft, lists: &Lists, joined: &[String]) -> Result<String, Error> {
    let mut hasher = digest::hasher("tachograph sigma rule v1");
    let json = match &draft.document.parsed {
        Parsed::Rule(rule) => serde_json::to_value(rule),
        Parsed::Correlation(rule) => serde_json::to_value(rule),
    };
    let json = json.map_err(|error| {
        Error::Rules(vec![format!("{}: {error}: use texts as keys", draft.document.place)])
    })?;
    digest::json(&mut hasher, &json);
    hasher.update(&[u8::from(rule.alerts)]);
    for name in &rule.lists {
        digest::text(&mut hasher, name);
        let values = lists.get(name).map(|list| list.values()).unwrap_or_default();
        hasher.update(&(values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| digest::text(&mut hasher, value));
        hasher.update(&[u8::from(matches!(lists.get(name), Some(crate::lists::List::Networks(_))))]);
    }
    joined.iter().for_each(|joined| digest::text(&mut hasher, joined));
    Ok(hasher.finalize().to_hex().to_string())
}
