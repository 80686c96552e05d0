CREATE TABLE alerts (
    alert_id      uuid PRIMARY KEY,
    kind          text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('firing', 'resolved')),
    severity      text        NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    summary       text        NOT NULL,
    evidence      jsonb       NOT NULL DEFAULT '{}',
    owner         text        NOT NULL,
    playbook      text        NOT NULL,
    transition_id uuid        NOT NULL,
    fired_at      timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL,
    resolved_at   timestamptz,
    resolution    text
);
CREATE UNIQUE INDEX alerts_one_firing ON alerts (kind, user_id) WHERE state = 'firing';
CREATE INDEX alerts_newest ON alerts (fired_at DESC, alert_id DESC);
CREATE INDEX alerts_of_transition ON alerts (transition_id);

CREATE TABLE notifications (
    notification_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id        uuid        NOT NULL REFERENCES alerts,
    step            text        NOT NULL,
    channel         text        NOT NULL,
    state           text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'given_up')),
    body            jsonb       NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    leased_until    timestamptz,
    last_result     text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    settled_at      timestamptz,
    UNIQUE (alert_id, step, channel)
);
CREATE INDEX notifications_due ON notifications (next_attempt_at) WHERE state = 'pending';

CREATE TABLE seen_transitions (
    transition_id uuid        NOT NULL,
    status        text        NOT NULL,
    seen_at       timestamptz NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    kind          text        NOT NULL,
    at            timestamptz NOT NULL,
    PRIMARY KEY (transition_id, status)
);
CREATE INDEX seen_transitions_of_user ON seen_transitions (user_id, at);
CREATE INDEX seen_transitions_oldest ON seen_transitions (seen_at);
