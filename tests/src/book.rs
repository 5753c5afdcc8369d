//! The chapters of the book, so that every example in them is compiled with the tests.

macro_rules! chapters {
    ($($name:ident: $file:literal,)+) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../docs/src/", $file))]
            mod $name {}
        )+

        /// Every chapter that is compiled, so that none can be forgotten.
        #[cfg(test)]
        const CHAPTERS: &[&str] = &[$($file,)+];
    };
}

chapters! {
    admin: "admin.md",
    batching: "batching.md",
    benchmarks: "benchmarks.md",
    configuration: "configuration.md",
    context: "context.md",
    defaults: "defaults.md",
    delays: "delays.md",
    discovery: "discovery.md",
    doctor: "doctor.md",
    faults: "faults.md",
    from_java: "from-java.md",
    from_pyrocketmq: "from-pyrocketmq.md",
    command_line: "guide/command-line.md",
    errors: "guide/errors.md",
    getting_started: "guide/getting-started.md",
    health: "guide/health.md",
    keys_and_order: "guide/keys-and-order.md",
    lifecycle: "guide/lifecycle.md",
    outcomes: "guide/outcomes.md",
    routes: "guide/routes.md",
    sending: "guide/sending.md",
    testing: "guide/testing.md",
    hooks: "hooks.md",
    interop: "interop.md",
    introduction: "introduction.md",
    namespaces: "namespaces.md",
    networks: "networks.md",
    observability: "observability.md",
    oneway: "oneway.md",
    operations: "operations.md",
    outcome_table: "outcome-table.md",
    protocol: "protocol.md",
    request_reply: "request-reply.md",
    security: "security.md",
    transactions: "transactions.md",
}

#[cfg(test)]
mod tests {
    use super::CHAPTERS;

    #[test]
    fn every_chapter_of_the_summary_is_compiled() {
        let summary = include_str!("../../docs/src/SUMMARY.md");
        let listed = summary.split("](").skip(1);
        let listed: Vec<&str> = listed.filter_map(|rest| rest.split(')').next()).collect();
        assert!(!listed.is_empty());
        for file in &listed {
            assert!(CHAPTERS.contains(file), "{file} is not compiled");
        }
        assert_eq!(listed.len(), CHAPTERS.len());
    }
}
