"""`recon schedule print`: the same schedule for cron, systemd or Kubernetes, for machines that have one of these already.

Each text is complete, and says in comments what the other scheduler does differently, above all around clock changes.
"""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cronsim import CronSim

from recon.errors import BadRequest
from recon.job import Job

FORMS = ("cron", "systemd", "k8s")
WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
IMAGE = "registry.example/recon:latest"


def started_as() -> tuple[str, ...]:
    """The words that start this very program, with its whole path: cron and systemd search hardly any folders."""
    script = Path(sys.argv[0])
    if script.name == "recon" and script.is_file():
        return (str(script.resolve()),)
    return (sys.executable, "-m", "recon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the runs happen: the project's folder, the words that start `recon` here, the user, and the image for Kubernetes."""

    folder: str
    recon: tuple[str, ...] = field(default_factory=started_as)
    user: str = "recon"
    image: str = IMAGE


def render(form: str, jobs: Mapping[str, Job], place: Place) -> str:
    """The text for `cron`, `systemd` or `k8s`; raises BadRequest where no job has a schedule, or one that the form cannot say."""
    scheduled = {domain: job for domain, job in sorted(jobs.items()) if job.schedule}
    if not scheduled:
        raise BadRequest("no job has a schedule", hint='add schedule = "0 3 * * *" to a job, or to its [jobs.NAME] table in recon.toml')
    if form not in FORMS:
        msg = f"no form {form!r}; there are {', '.join(FORMS)}"
        raise BadRequest(msg)
    return {"cron": _cron, "systemd": _systemd, "k8s": _k8s}[form](scheduled, place)


def _cron(jobs: Mapping[str, Job], place: Place) -> str:
    words = shlex.join([*place.recon, "run", "--project", place.folder])
    # In a crontab a % ends the command, so it is escaped.
    words = words.replace("%", "\\%")
    lines = [
        "# Times are read in CRON_TZ by cronie (Fedora, RHEL, Arch). Debian's cron does not know it: there, use the last line instead,",
        "# which reads each job's own zone and catches up a night that was missed. A job that fails, or is held, sends mail to MAILTO.",
    ]
    zone = None
    for domain, job in sorted(jobs.items(), key=lambda item: (item[1].timezone, item[0])):
        if job.timezone != zone:
            zone = job.timezone
            lines += ["", f"CRON_TZ={zone}"]
        lines.append(f"{job.schedule} {words} {domain} --quiet")
    lines += ["", "# Any cron: looks every ten minutes which domains are due.", f"# */10 * * * * {words} --due --quiet"]
    return "\n".join(lines) + "\n"


def _systemd(jobs: Mapping[str, Job], place: Place) -> str:
    start = " ".join(_systemd_word(word) for word in [*place.recon, "run", "--project", place.folder])
    service = [
        "# /etc/systemd/system/recon@.service",
        "[Unit]",
        "Description=Reconcile %i",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        f"User={place.user}",
        f"WorkingDirectory={place.folder.replace('%', '%%')}",
        f"ExecStart={start} %i",
        "# 75: incomplete or locked, try again. Anything else that fails stays failed and visible: 4 is held for approval.",
        "RestartForceExitStatus=75",
        "RestartSec=10min",
        "TimeoutStopSec=60",
        "",
    ]
    blocks = ["\n".join(service)]
    for domain, job in jobs.items():
        timer = [f"# /etc/systemd/system/recon-{domain}.timer", "[Unit]", f"Description=When to reconcile {domain}", "", "[Timer]"]
        timer += [f"OnCalendar={calendar} {job.timezone}" for calendar in calendars(domain, job)]
        timer += ["# A night that was missed runs once when the machine is back.", "Persistent=true", f"Unit=recon@{domain}.service"]
        timer += ["", "[Install]", "WantedBy=timers.target", ""]
        blocks.append("\n".join(timer))
    names = " ".join(f"recon-{domain}.timer" for domain in jobs)
    return "\n".join(blocks) + f"\n# systemctl daemon-reload && systemctl enable --now {names}\n"


def calendars(domain: str, job: Job) -> list[str]:
    """A cron line as systemd.time(7) calendar expressions: two where cron means day of month *or* day of week."""
    assert job.schedule is not None
    cron: Any = CronSim(job.schedule, datetime(2026, 1, 1))  # noqa: DTZ001 - only the parsed fields are read
    if not all(isinstance(day, int) and day > 0 for day in cron.days) or not all(isinstance(day, int) for day in cron.weekdays):
        msg = f"{domain}: systemd cannot say {job.schedule!r}: it has no last day and no n-th weekday"
        raise BadRequest(msg, hint="use recon schedule, or a timer every ten minutes for: recon run --due")
    time = f"{_numbers(cron.hours, 24)}:{_numbers(cron.minutes, 60)}:00"
    date = f"*-{_numbers(cron.months, 12, first=1)}-{_numbers(cron.days, 31, first=1)}"
    days = sorted({day % 7 for day in cron.weekdays})
    week = "" if len(days) == 7 else ",".join(WEEKDAYS[day] for day in days) + " "
    either = week and not cron.day_and
    if either:
        return [f"{date} {time}", f"{week}*-{_numbers(cron.months, 12, first=1)}-* {time}"]
    return [f"{week}{date} {time}"]


def _numbers(values: set[int], span: int, *, first: int = 0) -> str:
    return "*" if len(values) == span else ",".join(f"{value:02d}" for value in sorted(values) if value >= first)


def _systemd_word(word: str) -> str:
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if any(c.isspace() or c in "\"'\\;" for c in word) else text


def _k8s(jobs: Mapping[str, Job], place: Place) -> str:
    head = [
        "# Several pods share what they know through the state database: set [state] url to PostgreSQL.",
        "# Secrets come as environment variables from the Secret named below; recon.toml and jobs/ are part of the image, in the same folder.",
    ]
    return "\n".join(head) + "\n" + "---\n".join(_cronjob(domain, job, place) for domain, job in jobs.items())


def _cronjob(domain: str, job: Job, place: Place) -> str:
    """One CronJob. Every text is written as a JSON string, which YAML reads as the same text, whatever is in it."""
    # A Kubernetes name is a DNS label: no underscore, and at most 52 characters for a CronJob, which appends 11 of its own.
    name = f"recon-{domain.replace('_', '-')}"[:52].rstrip("-")
    command = json.dumps(["recon", "run", domain, "--project", place.folder], ensure_ascii=False)
    return f"""apiVersion: batch/v1
kind: CronJob
metadata:
  name: {json.dumps(name)}
  labels: {{"app.kubernetes.io/name": "recon", "recon/domain": {json.dumps(domain)}}}
spec:
  schedule: {json.dumps(job.schedule)}
  timeZone: {json.dumps(job.timezone)}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 21600
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 7
  jobTemplate:
    spec:
      backoffLimit: 3
      podFailurePolicy:
        rules:
          # Only 75 (incomplete or locked) is worth another try; 2 is a setting, 4 waits for a person, 6 for a receiver.
          - action: FailJob
            onExitCodes:
              operator: NotIn
              values: [0, 75, 130, 137, 143]
      template:
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 60
          containers:
            - name: recon
              image: {json.dumps(place.image)}
              command: {command}
              envFrom:
                - secretRef:
                    name: recon
"""
