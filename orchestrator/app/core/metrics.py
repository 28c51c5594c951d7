"""What the orchestrator counts. Labels are stages and outcomes, never a job, a URL, a caller or a corpus."""

from prometheus_client import Counter

HAND_OUTS = Counter("ml_dispatch_hand_outs", "Jobs handed to a stage, by what its answer was", ["stage", "outcome"])
STAGE_PAUSES = Counter(
    "ml_dispatch_stage_pauses", "Times that a stage was paused because it could not be used", ["stage"]
)
HIGH_WATER = Counter(
    "ml_dispatch_high_water_passes", "Passes that handed out nothing because too much is behind", ["stage"]
)
LEASES_EXPIRED = Counter("ml_jobs_leases_expired", "Leases that ran out, by stage and phase", ["stage", "phase"])
JOBS_ENDED = Counter("ml_jobs_ended", "Jobs that ended", ["status"])
