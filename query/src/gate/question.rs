//! What each gate counts, as SQL. `$1` is the start of the window.
//!
//! What counts is what was received in the window: a call reports when it ends, and a source whose clock is behind, or
//! whose spool was full, must not hide. Only what proves that a source is alive must be of the window by both clocks.

use datafusion::common::ScalarValue;
use schemas::limits;

use super::{Gate, time};
use crate::core::Param;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Whether any source was seen: what the recorder says of itself does not count.
pub(super) const SEEN: &str =
    "SELECT count(*) FROM events WHERE kind <> 'control' AND time >= $1 AND ingest_time >= $1";

/// The detector's rule `auth_failure_rate_ceiling` counts the same: revocations and pending ones are no attempts.
const AUTH: &str = "SELECT \
    coalesce(sum(CASE WHEN decision = 'deny' OR status IN ('denied', 'error') THEN 1 ELSE 0 END), 0), count(*) \
    FROM events WHERE kind = 'auth' AND coalesce(method, '') <> 'revoke' AND status <> 'pending' \
    AND ingest_time >= $1";

/// As the detector's rule `unapproved_high_risk_write`, but over the whole log instead of what the engine remembers:
/// an approval is what the log said before the call. Observations of one call are one where they do not contradict one
/// another, are at most four and lie within ten minutes; then one that is silent about approvals is covered by one that
/// names a valid approval. By receipt alone: what arrives late has not been counted yet. `$2` is ten minutes before `$1`.
const UNAPPROVED: &str = "\
    WITH writes AS (\
        SELECT log_index, time, ingest_time, call_id, server, capability, user_id, agent_id, request_hash, \
            approval_id, approval_status, approver \
        FROM events WHERE ingest_time >= $2 AND kind = 'call' \
        AND action IN ('write', 'destructive', 'admin') AND risk IN ('high', 'critical') \
        AND status NOT IN ('denied', 'pending') \
        AND (decision NOT IN ('deny', 'require_approval') OR status IN ('ok', 'timeout'))\
    ), said AS (\
        SELECT w.log_index, a.approval_status AS state, a.time AS state_time, \
            max(a.approver) OVER (PARTITION BY w.log_index) AS any_approver, \
            max(a.request_hash) OVER (PARTITION BY w.log_index) AS any_hash, \
            a.approver, a.request_hash, \
            row_number() OVER (PARTITION BY w.log_index ORDER BY \
                CASE WHEN a.approval_status = 'requested' THEN 1 ELSE 0 END, a.time DESC, \
                CASE WHEN a.approval_status = 'approved' THEN 1 ELSE 0 END, a.log_index DESC) AS rank \
        FROM writes w JOIN events a ON a.approval_id = w.approval_id AND a.log_index < w.log_index \
        WHERE a.kind = 'approval' \
        AND a.approval_status IN ('requested', 'approved', 'rejected', 'expired', 'cancelled')\
    ), judged AS (\
        SELECT w.*, w.approval_id IS NULL AND w.approval_status IS NULL AS silent, \
            w.approval_id IS NOT NULL \
            AND ((coalesce(w.approval_status, 'unknown') = 'approved' \
                    AND NOT coalesce(s.state NOT IN ('approved', 'requested') AND s.state_time <= w.time, false)) \
                OR (coalesce(w.approval_status, 'unknown') = 'unknown' AND coalesce(s.state = 'approved', false))) \
            AND NOT coalesce(lower(btrim(coalesce(w.approver, s.approver, s.any_approver))) \
                IN (lower(btrim(coalesce(w.user_id, ''))), lower(btrim(coalesce(w.agent_id, '')))), false) \
            AND NOT coalesce(coalesce(s.request_hash, s.any_hash) <> w.request_hash, false) AS valid \
        FROM writes w LEFT JOIN said s ON s.log_index = w.log_index AND s.rank = 1\
    ), calls AS (\
        SELECT count(*) AS observed, \
            sum(CASE WHEN valid THEN 1 ELSE 0 END) AS approved, \
            sum(CASE WHEN NOT valid AND NOT silent THEN 1 ELSE 0 END) AS refused, \
            count(*) <= 4 AND max(time) <= min(time) + INTERVAL '10 minutes' \
                AND count(DISTINCT user_id) <= 1 AND count(DISTINCT agent_id) <= 1 \
                AND count(DISTINCT request_hash) <= 1 AS is_one \
        FROM judged \
        GROUP BY coalesce(call_id, concat('#', CAST(log_index AS VARCHAR))), call_id IS NULL, server, capability \
        HAVING max(ingest_time) >= $1\
    ) \
    SELECT coalesce(sum(CASE WHEN is_one AND refused = 0 AND approved > 0 THEN 0 \
        WHEN is_one AND observed > approved THEN 1 ELSE observed - approved END), 0) FROM calls";

/// Every approval that was in the queue within the window: `$2` is now, and what is older than `$3` is forgotten. A wait
/// that a source measured counts unless what the log shows is longer. An approval that is asked for again waits again.
const QUEUE: &str = "\
    WITH steps AS (\
        SELECT coalesce(approval_id, call_id, event_id) AS key, time, approval_wait_ms, \
            coalesce(approval_status = 'requested', false) OR (coalesce(approval_status, 'unknown') = 'unknown' \
                AND status = 'pending' AND decision = 'require_approval') AS asked, \
            coalesce(approval_status IN ('approved', 'rejected', 'expired', 'cancelled'), false) \
                OR (coalesce(approval_status, 'unknown') = 'unknown' AND kind = 'call' \
                    AND status NOT IN ('pending', 'unknown')) AS decided \
        FROM events WHERE ingest_time >= $3 \
        AND (approval_id IS NOT NULL OR approval_status IS NOT NULL OR decision = 'require_approval')\
    ), ordered AS (\
        SELECT key, time, approval_wait_ms, decided, \
            max(CASE WHEN asked THEN time END) OVER (PARTITION BY key) AS asked_time FROM steps\
    ), approvals AS (\
        SELECT max(asked_time) AS asked, \
            min(CASE WHEN decided AND (asked_time IS NULL OR time >= asked_time) THEN time END) AS decided, \
            max(approval_wait_ms) AS wait_ms \
        FROM ordered GROUP BY key\
    ), waits AS (\
        SELECT greatest(\
            coalesce(CAST(to_timestamp_micros(coalesce(decided, $2)) AS BIGINT) \
                - CAST(to_timestamp_micros(asked) AS BIGINT), 0), \
            coalesce(wait_ms, 0) * 1000) AS wait_us \
        FROM approvals \
        WHERE (decided IS NULL OR decided >= $1) AND (asked IS NOT NULL OR wait_ms IS NOT NULL)\
    ) \
    SELECT CAST(ceil(median(CAST(wait_us AS DOUBLE))) AS BIGINT) FROM waits";

/// Nearest rank. A call that timed out without saying when took longer than any that did.
const LATENCY: &str = "\
    SELECT latency_us FROM (\
        SELECT latency_us, row_number() OVER (ORDER BY latency_us) AS rank, count(*) OVER () AS calls FROM (\
            SELECT coalesce(latency_us, 9223372036854775807) AS latency_us FROM events \
            WHERE kind = 'call' AND (latency_us IS NOT NULL OR status = 'timeout') \
            AND ingest_time >= $1\
        ) AS measured\
    ) AS ranked WHERE rank = (calls * 95 + 99) / 100";

/// An output is a call's or a stream's; what several observers say of one call is one output, quarantined if any says so.
const QUARANTINE: &str = "\
    SELECT coalesce(sum(quarantined), 0), count(*) FROM (\
        SELECT max(CASE WHEN output_action = 'quarantine' THEN 1 ELSE 0 END) AS quarantined FROM events \
        WHERE kind IN ('call', 'output') AND (output_action IS NOT NULL OR status = 'ok') \
        AND ingest_time >= $1 \
        GROUP BY coalesce(call_id, event_id), server\
    ) AS outputs";

/// The first row is the window, day 0; the others are the hour around now, one to seven days ago. `$2` is the start of
/// that hour a week ago, `$3` its end yesterday, `$4` its number.
const DENIALS: &str = "\
    SELECT day, count(*) AS decided, \
        sum(CASE WHEN decision = 'deny' OR status = 'denied' THEN 1 ELSE 0 END) AS denied FROM (\
        SELECT 0 AS day, decision, status FROM events \
        WHERE kind = 'call' AND status <> 'pending' AND (decision <> 'unknown' OR status = 'denied') \
        AND ingest_time >= $1 \
        UNION ALL \
        SELECT CAST(to_timestamp_micros(date_trunc('day', time)) AS BIGINT) AS day, decision, status FROM events \
        WHERE kind = 'call' AND status <> 'pending' AND (decision <> 'unknown' OR status = 'denied') \
        AND time >= $2 AND time < $3 AND CAST(date_part('hour', time) AS BIGINT) = $4\
    ) AS calls GROUP BY day ORDER BY day";

/// The SQL of a gate.
pub(super) const fn of(gate: Gate) -> &'static str {
    match gate {
        Gate::AuthFailureRate => AUTH,
        Gate::UnapprovedHighRiskWrites => UNAPPROVED,
        Gate::ApprovalQueueP50Minutes => QUEUE,
        Gate::ToolCallP95Ms => LATENCY,
        Gate::OutputQuarantineRatio => QUARANTINE,
        Gate::PolicyDenyRatioToBaseline => DENIALS,
    }
}

/// Its parameters.
pub(super) fn params(gate: Gate, start_us: i64, now_us: i64) -> Vec<Param> {
    let start = time(start_us);
    match gate {
        Gate::AuthFailureRate | Gate::ToolCallP95Ms | Gate::OutputQuarantineRatio => vec![start],
        Gate::UnapprovedHighRiskWrites => vec![start, time(start_us.saturating_sub(HOUR_US / 6))],
        Gate::ApprovalQueueP50Minutes => {
            let forgotten_us = now_us.saturating_sub(limits::GATE_QUEUE_DAYS_MAX.saturating_mul(DAY_US));
            vec![start, time(now_us), time(forgotten_us)]
        }
        Gate::PolicyDenyRatioToBaseline => {
            let hour_us = now_us.saturating_sub(now_us.rem_euclid(HOUR_US));
            vec![
                start,
                time(hour_us.saturating_sub(7 * DAY_US)),
                time(hour_us.saturating_sub(DAY_US).saturating_add(HOUR_US)),
                Param::Value(ScalarValue::Int64(Some(hour_us.rem_euclid(DAY_US) / HOUR_US))),
            ]
        }
    }
}
