"""Credentials never reach what is shown: errors, logged parameters, reports."""

import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import FilesSource, TableMapping
from recsys.data.sources.files import FilesReader
from recsys.errors import RecsysError, SourceError
from recsys.redaction import shown_settings, without_secrets

WORD = st.text("abcXYZ019-_.~%+", min_size=1, max_size=12)
SECRET = st.text("abcXYZ019-_.~%+/:@!$*", min_size=4, max_size=20).map(lambda text: f"SeCrEt{text}TeRcEs")
SCHEME = st.sampled_from(["s3", "postgresql+psycopg", "https", "abfs", "zip://a.csv::s3"])
PARAMETER = st.sampled_from(
    ["token", "sig", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "AWSAccessKeyId.secret", "password",
     "pwd", "access_token", "client_secret", "apikey", "sas", "SharedAccessSignature"]
)  # fmt: skip


@given(SCHEME, WORD, SECRET, WORD, WORD)
def test_no_address_shows_its_password(scheme: str, user: str, secret: str, host: str, path: str) -> None:
    shown = without_secrets(f"cannot open {scheme}://{user}:{secret}@{host}/{path}.csv; check the address")
    assert "SeCrEt" not in shown and "TeRcEs" not in shown
    assert shown.endswith(f"@{host}/{path}.csv; check the address")


@given(WORD, PARAMETER, st.text("abcXYZ019-_.~%+/:!$*#", min_size=4, max_size=20), WORD)
def test_no_address_shows_a_secret_parameter(host: str, name: str, value: str, other: str) -> None:
    secret = f"SeCrEt{value}TeRcEs"
    shown = without_secrets(f"https://{host}/data.csv?version={other}&{name}={secret}&part=2")
    assert "SeCrEt" not in shown and "TeRcEs" not in shown
    assert f"version={other}" in shown and shown.endswith("&part=2")


@given(SCHEME, WORD, SECRET, WORD)
def test_hiding_twice_changes_nothing(scheme: str, user: str, secret: str, host: str) -> None:
    shown = without_secrets(f"{scheme}://{user}:{secret}@{host}?sig={secret}")
    assert without_secrets(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "snapshots/2026-01-01/0123456789abcdef", "s3://bucket/folder/part-*.csv", "file:///data/a@b.csv",
        "the token is missing; set RECSYS_KEY to a file", "http://localhost:5000/#/experiments/1",
        "k must be <= 30 (items in index); got 50", "write to a@example.org", "key_id 0123abcd",
    ],
)  # fmt: skip
def test_what_holds_no_credential_is_shown_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


def test_text_of_a_connection_hides_its_password() -> None:
    told = without_secrets("host=db password='a b' dbname=x; Pwd=hunter2;Server=y")
    assert "a b" not in told and "hunter2" not in told and "dbname=x" in told and "Server=y" in told


def test_every_error_of_ours_hides_credentials_in_its_text() -> None:
    assert str(RecsysError("cannot read s3://id:hunter2@bucket/x")) == "cannot read s3://***@bucket/x"


def test_settings_show_of_a_query_its_digest_alone() -> None:
    told = shown_settings(
        {"interactions": {"query": "SELECT 'ann', 7", "uri": "s3://a:b@c/d"}, "ks": [1, 2], "n": None}
    )
    assert told["interactions"]["uri"] == "s3://***@c/d"
    assert told["interactions"]["query"].startswith("sha256:") and "ann" not in told["interactions"]["query"]
    assert (told["ks"], told["n"]) == ([1, 2], None)
    other = shown_settings({"query": "SELECT 'ben', 7"})["query"]
    assert other != told["interactions"]["query"] and shown_settings({"query": ""}) == {"query": ""}


def test_a_source_that_cannot_be_opened_leaves_no_credential_in_the_whole_trace(tmp_path: Path) -> None:
    reader = FilesReader(FilesSource(interactions=TableMapping(uri=f"file://id:hunter2@{tmp_path}/none.csv")))
    with pytest.raises(SourceError) as caught:
        reader.interval()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value, chain=True))
