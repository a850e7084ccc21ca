//! More and fewer pods.

use super::play;

#[test]
fn scaling_from_three_to_ten_to_one_costs_no_connection() {
    play("scale", |_, app| {
        app.deploy("", 3, "v1");
        app.expose(None, serde_json::json!({}));
        app.settled("");
        let traffic = app.traffic();
        for replicas in [10, 1] {
            app.deploy("", replicas, "v1");
            app.settled("");
            assert_eq!(app.pods("").len(), replicas as usize);
            app.in_use(replicas as usize);
            traffic.outlast();
        }
        let report = traffic.stop();
        assert_eq!(report.backends().len(), 10, "{:?}", report.backends());
        assert!(report.programmed() > 0);
        report
    });
}
