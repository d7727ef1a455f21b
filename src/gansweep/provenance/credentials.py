"""Content Credentials: a signed C2PA manifest in a file, or beside one that cannot carry it.

Source: C2PA Technical Specification 2.2 (actions, signing credentials); c2pa-python 0.38.
A manifest covers every byte of the file, so XMP goes in first and nothing after.
"""

from __future__ import annotations

import datetime
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gansweep import __version__
from gansweep.errors import UserError, tell, visible

TEST_ISSUER = "gansweep test certificate, made on this machine, proves nothing"
MIME = {
    **{"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"},
    "avif": "image/avif",
    **{"mp4": "video/mp4", "zip": "zip", "npz": "zip"},
}
BESIDE = "application/octet-stream"  # of a manifest in a file of its own
ENDING = ".c2pa"
DAYS = 365
NO_C2PA = "mark.c2pa=true signs with c2pa-python, which is not installed: pip install "
NO_C2PA += "'gansweep[c2pa]'."
LEAF_USAGE = {"digital_signature": True}
GOOD = ("trusted", "valid, signer unknown")


@dataclass(frozen=True)
class Key:
    """certificate, key: PEM files of the user's, the chain from the leaf on; None for a test
    certificate.   timestamp: address of an RFC 3161 server; "" for none."""

    certificate: Path | None = None
    key: Path | None = None
    timestamp: str = ""


def load_c2pa() -> Any:
    """The package.   Raises: UserError where it is missing."""
    try:
        import c2pa
    except ImportError as error:
        raise UserError(NO_C2PA) from error
    return c2pa


class Signer:
    """Signs the files of one command with one key."""

    def __init__(self, key: Key) -> None:
        self.c2pa = load_c2pa()
        self._chain, self._key = made_up_certificate() if key.certificate is None else _read(key)
        self.is_test = key.certificate is None
        self._timestamp = key.timestamp
        self._signer = self._made(key.timestamp)
        # a thumbnail would be twenty times as large as a small picture
        settings = {"builder": {"thumbnail": {"enabled": False}}}
        self._context = self.c2pa.Context.from_dict(settings)

    def _made(self, timestamp: str) -> Any:
        info = self.c2pa.C2paSignerInfo(
            b"es256", self._chain, self._key, timestamp.encode() if timestamp else None
        )
        try:
            return self.c2pa.Signer.from_info(info)
        except Exception as error:
            raise UserError(
                f"mark.certificate= and mark.key= cannot sign ({error}). Give the chain of an "
                "ES256 certificate with the leaf first (key usage digitalSignature, extended key "
                "usage emailProtection) and its PKCS #8 key, both as PEM."
            ) from error

    def signed(
        self, content: bytes, form: str, source_type: str, prompt: str, parent: bytes | None = None
    ) -> bytes:
        """The file with a manifest.   form: of MIME.

        parent: the file that it was made of: its manifest, if it has one, is kept as an ingredient.
        """
        made = io.BytesIO()
        self._sign(MIME[form], content, source_type, prompt, made, parent)
        return made.getvalue()

    def beside(self, content: bytes, source_type: str, prompt: str) -> bytes:
        """The manifest alone, of a file that cannot carry one."""
        return self._sign(BESIDE, content, source_type, prompt, io.BytesIO(), None, embed=False)

    def _sign(
        self,
        mime: str,
        content: bytes,
        source_type: str,
        prompt: str,
        made: io.BytesIO,
        parent: bytes | None,
        embed: bool = True,
    ) -> bytes:
        try:
            builder = self._builder(source_type, prompt, parent, embed)
            return self._with(builder, self._signer, mime, content, made)
        except self.c2pa.C2paError as error:
            if not self._timestamp:
                raise UserError(f"The manifest cannot be signed ({error}).") from error
            tell(
                f"gansweep: {self._timestamp} gives no time stamp ({error}); the manifests have "
                "none."
            )
        self._timestamp = ""
        self._signer = self._made("")
        made.seek(0)
        made.truncate()
        builder = self._builder(source_type, prompt, parent, embed)
        return self._with(builder, self._signer, mime, content, made)

    def _with(
        self, builder: Any, signer: Any, mime: str, content: bytes, made: io.BytesIO
    ) -> bytes:
        return bytes(builder.sign(signer, mime, io.BytesIO(content), made))

    def _builder(self, source_type: str, prompt: str, parent: bytes | None, embed: bool) -> Any:
        c2pa = self.c2pa
        agent = {"name": "gansweep", "version": __version__}
        said = {"digitalSourceType": source_type, "softwareAgent": agent}
        said |= {"parameters": {"prompt": visible(prompt)}} if prompt else {}
        carried = parent is not None and has_manifest(c2pa, parent)
        action = {"action": "c2pa.edited" if carried else "c2pa.created", **said}
        builder = c2pa.Builder(
            {
                "claim_generator_info": [agent],
                "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]
                if not carried
                else [],
            },
            self._context,
        )
        if carried and parent is not None:
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            builder.add_action(action)
            form = _mime_of(parent)
            builder.add_ingredient({"relationship": "parentOf"}, form, io.BytesIO(parent))
        if not embed:
            builder.set_no_embed()
        return builder


def has_manifest(c2pa: Any, content: bytes) -> bool:
    try:
        with c2pa.Reader(_mime_of(content), io.BytesIO(content)):
            return True
    except Exception:  # no manifest, or a format without one
        return False


def _mime_of(content: bytes) -> str:
    from gansweep.provenance.containers import format_of

    return MIME.get(format_of(content) or "", BESIDE)


def _read(key: Key) -> tuple[bytes, bytes]:
    """Raises: UserError for a file that cannot be read."""
    assert key.certificate is not None and key.key is not None
    found = []
    for option, path in (("mark.certificate", key.certificate), ("mark.key", key.key)):
        try:
            found.append(path.read_bytes())
        except OSError as error:
            raise UserError(f"{option}={path} cannot be read ({error.strerror}).") from error
    return found[0], found[1]


def made_up_certificate() -> tuple[bytes, bytes]:
    """A chain and a key, made anew: to try manifests out. Its name says that it proves nothing."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(name: str) -> x509.Name:
        parts = {NameOID.COMMON_NAME: name, NameOID.ORGANIZATION_NAME: TEST_ISSUER}
        return x509.Name([x509.NameAttribute(*part) for part in parts.items()])

    def usage(**own: bool) -> x509.KeyUsage:
        names = ["digital_signature", "content_commitment", "key_encipherment", "encipher_only"]
        names += ["data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"]
        names += ["decipher_only"]
        return x509.KeyUsage(**{name: own.get(name, False) for name in names})

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    day = datetime.timedelta(days=1)
    start = datetime.datetime.now(datetime.timezone.utc) - day
    whole = []
    for own, name, is_root in ((leaf, "test, not a person", False), (root, "test root", True)):
        made = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("test root"))
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + DAYS * day)
            .add_extension(x509.BasicConstraints(is_root, None), critical=True)
        )
        asked = (
            usage(key_cert_sign=True, crl_sign=True) if is_root else usage(digital_signature=True)
        )
        made = made.add_extension(asked, critical=True)
        if not is_root:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(purpose, critical=False)
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
        made = made.add_extension(by, critical=False)
        whole.append(made.sign(root, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    private = leaf.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return b"".join(one.public_bytes(pem) for one in whole), private


@dataclass(frozen=True)
class Credentials:
    """state: "trusted", "valid, signer unknown", "broken" or "not checked".   signer: its name.

    source_type: of the newest action that states one.   ingredients: how many are kept.
    """

    state: str
    signer: str = ""
    source_type: str = ""
    ingredients: int = 0


STATES = {"Trusted": GOOD[0], "Valid": GOOD[1], "Invalid": "broken"}


def read_credentials(
    content: bytes, form: str, trust: str = "", beside: bytes | None = None
) -> Credentials | None:
    """What a manifest says; None where there is none.

    trust: certificates (PEM) whose signatures are trusted.   beside: the manifest of a file that
    does not carry it.   Without c2pa-python a manifest is only seen to be there.
    """
    try:
        import c2pa
    except ImportError:
        return Credentials("not checked") if beside or b"jumb" in content else None
    context = None
    if trust:
        context = c2pa.Context.from_dict(
            {"trust": {"trust_anchors": trust}, "verify": {"verify_trust": True}}
        )
    try:
        mime = MIME.get(form, BESIDE)
        reader = c2pa.Reader(mime, io.BytesIO(content), manifest_data=beside, context=context)
    except Exception as error:
        return (
            None
            if "ManifestNotFound" in str(error) or "NotSupported" in str(error)
            else (Credentials("broken"))
        )
    with reader:
        state = STATES.get(str(reader.get_validation_state()), "broken")
        whole = json.loads(reader.json())
    return _said(whole, state)


def _said(whole: dict[str, Any], state: str) -> Credentials:
    active = whole.get("manifests", {}).get(whole.get("active_manifest"), {})
    actions = [
        action
        for assertion in active.get("assertions", [])
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", [])
    ]
    types = [str(a["digitalSourceType"]) for a in actions if a.get("digitalSourceType")]
    signer = active.get("signature_info", {})
    name = str(signer.get("issuer") or signer.get("common_name") or "")
    return Credentials(state, name, types[-1] if types else "", len(active.get("ingredients", [])))
