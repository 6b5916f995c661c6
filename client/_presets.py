"""Settings that well-known clients ship, for comparison. One row each; readers of the table need no edit.

A preset is a cadence: when the client polls while the answer is "not finished yet", and when it stops. What
to do about failed reads is left at our defaults. Three differences are the same everywhere: at a deadline
theirs stop without looking again (most when the next sleep would pass it), ours polls once more when it falls
due; where theirs put a Retry-After in place of their own wait, ours lets it lengthen that wait alone; and
Go's clients cut delays to whole nanoseconds.

Retry policies that never see an answer that is not an error (botocore's and OpenAI's retries, Stripe, gRPC)
are no cadence, and are left out; ``docs/presets.md`` lists them and what cannot be expressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ._backoff import Backoff
from ._policy import HintPolicy, PollingPolicy

_UNHEARD: Final = HintPolicy(honour=False)  # the client never reads Retry-After
_OBEYED: Final = HintPolicy(
    maximum=86_400.0, spread=0.0
)  # azure-core obeys any; the cap of a day is ours alone
_OPENAI: Final = HintPolicy(maximum=120.0, spread=0.0)  # openai/_constants.py, MAX_RETRY_AFTER_DELAY
_TENACITY_LONGEST: Final = 2.0**62  # tenacity/_utils.py, MAX_WAIT = sys.maxsize / 2


@dataclass(frozen=True, slots=True)
class Preset:
    """One client's polling as it ships.

    source: the file it was read from, and what in it. note: what else there is to know, in one line.
    """

    policy: PollingPolicy
    source: str
    note: str = ""


def _polls(
    cadence: Backoff,
    source: str,
    *,
    deadline: float | None = None,
    max_attempts: int | None = None,
    hints: HintPolicy = _UNHEARD,
    waits_first: bool = False,
    note: str = "",
) -> Preset:
    policy = PollingPolicy(
        cadence,
        first_poll="after_delay" if waits_first else "immediately",
        deadline=deadline,
        max_attempts=max_attempts,
        hints=hints,
    )
    return Preset(policy, source, note)


ORIGINS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "ansible-async": _polls(
            Backoff("constant", 15),
            "ansible-core 2.19.14: config/base.yml, DEFAULT_POLL_INTERVAL; "
            "executor/task_executor.py, _poll_async_result",
            waits_first=True,
            note="stops after the task's `async`, which has no default",
        ),
        "ansible-until": _polls(
            Backoff("constant", 5),
            "ansible-core 2.19.14: playbook/task.py, delay; executor/task_executor.py, 1 try and 3 more",
            max_attempts=4,
        ),
        "aws-decorrelated": _polls(
            Backoff("exponential", 1, maximum=20, jitter="decorrelated"),
            "AWS Architecture Blog, Exponential Backoff And Jitter, 2015: sleep = "
            "min(cap, random_between(base, sleep * 3))",
            note="base 1 s and cap 20 s are our choice: the article gives the formula alone",
        ),
        "azure-arm-rpc": _polls(
            Backoff("constant", 60),
            "Azure/azure-resource-manager-rpc: v1.0/async-api-reference.md, Retry-After",
            hints=HintPolicy(maximum=600, spread=0.0),
            waits_first=True,
            note="the wait where a service sends no Retry-After; it may send 10 s to 600 s",
        ),
        "azure-core-lro": _polls(
            Backoff("constant", 30),
            "azure-core 1.41.0: azure/core/polling/base_polling.py, LROBasePolling(timeout=30), _poll",
            hints=_OBEYED,
        ),
        "backoff-constant": _polls(
            Backoff("constant", 1, jitter="full"),
            "backoff 2.2.1: backoff/_wait_gen.py, constant; backoff/_jitter.py, full_jitter",
            note="`on_predicate(backoff.constant)`: full jitter unless told otherwise",
        ),
        "backoff-expo": _polls(
            Backoff("exponential", 1, jitter="full"),
            "backoff 2.2.1: backoff/_wait_gen.py, expo; backoff/_jitter.py, full_jitter",
        ),
        "backoff-fibo": _polls(
            Backoff("fibonacci", 1, jitter="full"),
            "backoff 2.2.1: backoff/_wait_gen.py, fibo; backoff/_jitter.py, full_jitter",
        ),
        "boto3-waiter-cloudformation": _polls(
            Backoff("constant", 30),
            "botocore 1.44.8: data/cloudformation/2010-05-15/waiters-2.json, StackCreateComplete; waiter.py",
            max_attempts=120,
        ),
        "boto3-waiter-dynamodb": _polls(
            Backoff("constant", 20),
            "botocore 1.44.8: data/dynamodb/2012-08-10/waiters-2.json, TableExists; waiter.py",
            max_attempts=25,
        ),
        "boto3-waiter-ec2": _polls(
            Backoff("constant", 15),
            "botocore 1.44.8: data/ec2/2016-11-15/waiters-2.json, InstanceRunning; waiter.py",
            max_attempts=40,
        ),
        "boto3-waiter-rds": _polls(
            Backoff("constant", 30),
            "botocore 1.44.8: data/rds/2014-10-31/waiters-2.json, DBInstanceAvailable; waiter.py",
            max_attempts=60,
        ),
        "boto3-waiter-s3": _polls(
            Backoff("constant", 5),
            "botocore 1.44.8: data/s3/2006-03-01/waiters-2.json, ObjectExists; waiter.py",
            max_attempts=20,
        ),
        "cenkalti": _polls(
            Backoff("exponential", 0.5, multiplier=1.5, maximum=60, jitter="half-around"),
            "cenkalti/backoff v4: exponential.go, NewExponentialBackOff, NextBackOff",
            deadline=900,
            note="jitter after the cap: waits of up to 90 s",
        ),
        "google-api-core-lro": _polls(
            Backoff("exponential", 1, multiplier=1.5, maximum=20, jitter="full"),
            "google-api-core 2.44.0: google/api_core/future/polling.py, DEFAULT_POLLING; "
            "retry/retry_base.py, exponential_sleep_generator",
            deadline=900,
        ),
        "google-api-core-retry": _polls(
            Backoff("exponential", 1, maximum=60, jitter="full"),
            "google-api-core 2.44.0: "
            "google/api_core/retry/retry_base.py, _DEFAULT_INITIAL_DELAY to _DEFAULT_DEADLINE",
            deadline=120,
            note="`polling=Retry(predicate)`: what an own predicate gets",
        ),
        "k8s-default-backoff": _polls(
            Backoff("exponential", 0.01, multiplier=5, jitter="tenth-more"),
            "kubernetes/client-go: util/retry/util.go, DefaultBackoff; apimachinery pkg/util/wait/backoff.go",
            max_attempts=4,
            note="made for conflicts of updates: it is over within half a second",
        ),
        "openai-file-wait": _polls(
            Backoff("constant", 5),
            "openai 3.57.0: openai/lib/_files.py, wait_for_file_processing; resources/files.py",
            deadline=1800,
            hints=_OPENAI,
            note="theirs gives up at its first poll after the deadline, whatever that says",
        ),
        "openai-poll": _polls(
            Backoff("constant", 1),
            "openai 3.57.0: openai/resources/videos.py, poll",
            hints=_OPENAI,
            note="where replies have no openai-poll-after-ms",
        ),
        "polly-v8": _polls(
            Backoff("constant", 2),
            "App-vNext/Polly: src/Polly.Core/Retry/RetryConstants.cs, RetryStrategyOptions.TResult.cs",
            max_attempts=4,
        ),
        "replicate": _polls(
            Backoff("constant", 0.5),
            "replicate 1.0.7: replicate/client.py, poll_interval; replicate/prediction.py, wait",
            waits_first=True,
        ),
        "resilience4j": _polls(
            Backoff("constant", 0.5),
            "resilience4j: resilience4j-retry/.../retry/RetryConfig.java, DEFAULT_WAIT_DURATION, "
            "DEFAULT_MAX_ATTEMPTS",
            max_attempts=3,
        ),
        "smithy-waiter": _polls(
            Backoff("exponential", 2, maximum=120, jitter="above-first"),
            "smithy-lang/smithy: docs/source-2.0/additional-specs/waiters.rst, minDelay, maxDelay",
            note="a maximum of time must be given; the last wait before it is stretched to meet it",
        ),
        "stamina": _polls(
            Backoff("exponential", 0.1, maximum=5, jitter="second-more"),
            "stamina 26.1.0: stamina/_core.py, retry, _compute_backoff",
            deadline=45,
            max_attempts=10,
        ),
        "tenacity-exponential": _polls(
            Backoff("exponential", 1, maximum=_TENACITY_LONGEST),
            "tenacity 9.2.1: tenacity/wait.py, wait_exponential",
        ),
        "tenacity-expo-jitter": _polls(
            Backoff("exponential", 1, maximum=_TENACITY_LONGEST, jitter="second-more"),
            "tenacity 9.2.1: tenacity/wait.py, wait_exponential_jitter",
        ),
        "tenacity-random-expo": _polls(
            Backoff("exponential", 1, maximum=_TENACITY_LONGEST, jitter="full"),
            "tenacity 9.2.1: tenacity/wait.py, wait_random_exponential",
        ),
        "terraform": _polls(
            Backoff("exponential", 0.2, maximum=10),
            "hashicorp/terraform-plugin-sdk: helper/retry/state.go, WaitForStateContext",
            note="with MinTimeout, PollInterval and Delay left at 0; Timeout must be given",
        ),
    }
)
"""The presets by name with their sources, read-only."""

PRESETS: Final[Mapping[str, PollingPolicy]] = MappingProxyType(
    {name: origin.policy for name, origin in ORIGINS.items()}
)
"""Named policies, read-only: what well-known clients ship. Their sources are in ``ORIGINS``."""
