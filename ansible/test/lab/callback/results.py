"""Writes what each task did as a line of JSON to the file that MCPDEPLOY_ANSIBLE_RESULTS names."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: notification
short_description: The result of each task, as lines of JSON
description: For tests that compare runs.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results"

    def __init__(self):
        super().__init__()
        path = os.environ.get("MCPDEPLOY_ANSIBLE_RESULTS")
        self.disabled = path is None
        self._file = None if path is None else open(path, "a", encoding="utf-8")
        self._handlers = set()

    def v2_playbook_on_handler_task_start(self, task):
        self._handlers.add(task._uuid)

    def _write(self, result, outcome):
        line = {
            "host": result._host.get_name(),
            "task": result._task.get_name(),
            "isHandler": result._task._uuid in self._handlers,
            "outcome": outcome,
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def v2_runner_on_ok(self, result):
        self._write(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_skipped(self, result):
        self._write(result, "skipped")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result):
        self._write(result, "unreachable")
