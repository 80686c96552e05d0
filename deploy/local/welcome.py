"""What is said when everything is up: the addresses, and lines to paste."""

from deploy.local.plan import Plan

_USER = "ada"


def welcome(plan: Plan, *, seconds: float, in_background: bool = False) -> str:
    """Return the text."""
    how = "`make stop` drains" if in_background else "Ctrl-C, or `make stop`, drains"
    return f"""
Ebbtide is up after {seconds:.1f} s.

  ingest     {plan.url("ingest"):<24} events come in here
  api        {plan.url("api"):<24} answers come out here; {plan.url("api")}/docs describes them
  segmenter  {plan.url("segmenter"):<24} /livez /readyz /metrics
  alerts     {plan.url("alerts"):<24} /livez /readyz /metrics
  Kafka      {plan.kafka_bootstrap}
  addresses, keys and process ids for scripts: {plan.state.directory / "run.json"}
  logs: {plan.state.logs}

Send an event:

  {send_line(plan)}

Read the user that it made:

  {read_line(plan)}

{how} and stops everything in order.
"""


def send_line(plan: Plan) -> str:
    """Return a command that sends one event."""
    body = f'{{"user_id": "{_USER}", "name": "Signed Up"}}'
    return (
        f"curl -sS -u {plan.keys.write_key}: -H 'Content-Type: application/json'"
        f" -d '{body}' {plan.url('ingest')}/v1/events"
    )


def read_line(plan: Plan) -> str:
    """Return a command that reads the user of `send_line`."""
    return (
        f"curl -sS -H 'Authorization: Bearer {plan.keys.api_key}'"
        f" {plan.url('api')}/v1/users/{_USER}"
    )
