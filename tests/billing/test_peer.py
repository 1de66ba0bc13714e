"""A server that nobody here wrote judges both sides by the written contract (``revio.openapi.yaml``).

Prism answers the client in the sandbox's place, and stands between the two: what either of them sends is refused
where it breaks the contract. npm installs it into the virtual environment, once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from desktop_app.association.ports import LookupVerdict, PostVerdict
from desktop_app.billing.client import BillingClient
from desktop_app.billing.launcher import SandboxAddress, set_faults
from desktop_app.billing.secrets import SANDBOX_LOGIN, BillingLogin
from desktop_app.billing.transport import Transport
from tests.billing.conftest import product_order, service_order, yes

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]

PRISM = "@stoplight/prism-cli@5.14.2"
CONTRACT = Path(__file__).with_name("revio.openapi.yaml")
MakeClient = Callable[..., BillingClient]


@pytest.fixture(scope="session")
def prism() -> list[str]:
    """The command that runs Prism; installs it the first time."""
    folder = Path(sys.prefix, "peers", f"prism-{PRISM.rpartition('@')[2]}")
    if not folder.exists():
        npm = shutil.which("npm")
        assert npm, "the peer tests need npm (Node 18 or later)"
        folder.parent.mkdir(exist_ok=True)
        # beside its place, then moved there whole: several test processes may do this at once
        new = Path(tempfile.mkdtemp(dir=folder.parent))
        command = [npm, "install", "--prefix", str(new), "--no-audit", "--no-fund", "--loglevel=error", PRISM]
        subprocess.run(command, check=True)
        try:
            new.rename(folder)
        except OSError:  # another one was faster
            shutil.rmtree(new)
    return ["node", str(folder / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js")]


@contextmanager
def running(command: list[str], log: Path) -> Iterator[str]:
    """Prism on a port that it chooses; gives its address."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", "0", "--host", "127.0.0.1", "--errors"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NO_COLOR": "1"},
        )
    try:
        while not (listens := re.search(r"listening on (http://127\.0\.0\.1:\d+)\n", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield listens[1]
    finally:
        process.terminate()
        process.wait()
        sys.stdout.write(log.read_text())  # shown where a test fails


@pytest.fixture(scope="module")
def judge(prism: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Answers as the contract says, and refuses what breaks it."""
    log = tmp_path_factory.mktemp("judge") / "log"
    with running([*prism, "mock", str(CONTRACT)], log) as url:
        yield url


@pytest.fixture
def between(prism: list[str], sandbox: SandboxAddress, tmp_path: Path) -> Iterator[str]:
    """Stands between client and sandbox, and refuses what breaks the contract on either side."""
    with running([*prism, "proxy", str(CONTRACT), sandbox.url], tmp_path / "log") as url:
        yield url


def forced(url: str, prefer: str) -> BillingClient:
    """A client that asks the judge for a certain answer."""
    transport = Transport(url, timeout_s=60, headers={"Prefer": prefer})
    return BillingClient("sandbox", url, SANDBOX_LOGIN, timeout_s=60, transport=transport)


def test_the_judge_finds_nothing_wrong_with_what_we_send(judge: str, make_client: MakeClient) -> None:
    client = make_client(judge, timeout_s=60)
    full = service_order(service_type_id="4", package_id="5", address_id="6", description="Line of car 7")
    for order in (service_order(), full):
        result = client.create_service(order, yes)
        assert (result.verdict, result.billing_id) == (PostVerdict.CREATED, "11027"), result
    result = client.add_product(product_order("12"), yes)
    assert (result.verdict, result.billing_id) == (PostVerdict.CREATED, "11027"), result


def test_the_judge_is_no_yes_man(judge: str, make_client: MakeClient) -> None:
    client = make_client(judge, timeout_s=60)
    for order in (service_order(number="1" * 256), service_order(billing_customer_id="Alder")):
        result = client.create_service(order, yes)
        assert (result.verdict, result.http_status) == (PostVerdict.REFUSED, 400)
    nobody = BillingClient("sandbox", judge, BillingLogin("", "", ""), timeout_s=60, transport=Keyless(judge))
    assert nobody.create_service(service_order(), yes).verdict is PostVerdict.ENVIRONMENT
    nobody.close()


class Keyless(Transport):
    """Leaves out every header of a call."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_s=60)

    def call(self, method: str, path: str, **options: object) -> object:  # type: ignore[override]
        options.pop("headers", None)
        return super().call(method, path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "posted", "found"),
    [
        (400, PostVerdict.REFUSED, LookupVerdict.RETRY),
        (401, PostVerdict.ENVIRONMENT, LookupVerdict.ENVIRONMENT),
        (403, PostVerdict.ENVIRONMENT, LookupVerdict.ENVIRONMENT),
        (429, PostVerdict.NOT_SENT, LookupVerdict.RETRY),
        (500, PostVerdict.UNKNOWN, LookupVerdict.RETRY),
    ],
)
def test_every_documented_error(judge: str, code: int, posted: PostVerdict, found: LookupVerdict) -> None:
    client = forced(judge, f"code={code}")
    result = client.create_service(service_order(), yes)
    assert (result.verdict, result.http_status) == (posted, code)
    assert result.retry_after_s == (3.0 if code == 429 else None)
    assert client.find_services("17", number="+49170").verdict is found
    assert client.find_products("12").verdict is found
    client.close()


def test_client_and_sandbox_keep_the_contract_together(
    between: str, sandbox: SandboxAddress, make_client: MakeClient
) -> None:
    client = make_client(between, timeout_s=60)
    order = service_order()
    made = client.create_service(order, yes)
    assert made.verdict is PostVerdict.CREATED, made
    assert made.billing_id is not None
    found = client.find_services(order.billing_customer_id, reference=order.reference, number=order.number)
    assert [service.service_id for service in found.services] == [made.billing_id], found
    added = client.add_product(product_order(made.billing_id), yes)
    assert added.verdict is PostVerdict.CREATED, added
    products = client.find_products(made.billing_id)
    assert [product.service_product_id for product in products.products] == [added.billing_id], products
    for fault, verdict in (
        ("429", PostVerdict.NOT_SENT), ("500-before", PostVerdict.UNKNOWN), ("500-after", PostVerdict.UNKNOWN),
        ("cut-after", PostVerdict.UNKNOWN),
    ):  # fmt: skip
        set_faults(sandbox, next=[fault])
        result = client.create_service(service_order(), yes)
        assert result.verdict is verdict, (fault, result)
