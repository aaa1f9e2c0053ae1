"""Makes the encrypted and the signed document of this folder with other people's code: the Python package cryptography, and xmllint
for canonical XML.

The keys are drawn and thrown away but for recipient.key, which the tests decrypt with. Run in this folder: python3 make.py
"""

import base64
import datetime
import hashlib
import hmac
import os
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KID = "0123456789abcdef0123456789abcdef"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


def certificate(name):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    cert = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2026, 1, 1)).not_valid_after(datetime.datetime(2126, 1, 1))
        .sign(key, hashes.SHA256())
    )
    return key, cert


def b64(data):
    return base64.b64encode(data).decode()


def cipher(algorithm, data):
    return (
        f'<e:EncryptionMethod Algorithm="{algorithm}"/>\n<e:CipherData><e:CipherValue>\n  {b64(data)}\n</e:CipherValue></e:CipherData>'
    )


def document(recipient):
    document_key, mac_key = os.urandom(32), os.urandom(64)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
    wrap = lambda key: recipient.public_key().encrypt(key, oaep)
    iv = os.urandom(16)
    encryptor = Cipher(algorithms.AES(document_key), modes.CBC(iv)).encryptor()
    value = iv + encryptor.update(KEY + bytes([16]) * 16) + encryptor.finalize()
    der = recipient.public_bytes(serialization.Encoding.DER)
    rsa_oaep = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
    uuid = f"{KID[:8]}-{KID[8:12]}-{KID[12:16]}-{KID[16:20]}-{KID[20:]}"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<CPIX xmlns="urn:dashif:org:cpix" xmlns:p="urn:ietf:params:xml:ns:keyprov:pskc" xmlns:e="http://www.w3.org/2001/04/xmlenc#" \
xmlns:d="http://www.w3.org/2000/09/xmldsig#" id="doc-1" contentId="test-content" version="2.3">
<DeliveryDataList><DeliveryData id="d1">
<DeliveryKey><d:X509Data><d:X509Certificate>{b64(der)}</d:X509Certificate></d:X509Data></DeliveryKey>
<DocumentKey Algorithm="http://www.w3.org/2001/04/xmlenc#aes256-cbc"><Data><p:Secret><p:EncryptedValue>
{cipher(rsa_oaep, wrap(document_key))}
</p:EncryptedValue></p:Secret></Data></DocumentKey>
<MACMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#hmac-sha512"><Key>
{cipher(rsa_oaep, wrap(mac_key))}
</Key></MACMethod>
</DeliveryData></DeliveryDataList>
<ContentKeyList><ContentKey kid="{uuid}" commonEncryptionScheme="cbcs"><Data><p:Secret><p:EncryptedValue>
{cipher("http://www.w3.org/2001/04/xmlenc#aes256-cbc", value)}
</p:EncryptedValue><p:ValueMAC>{b64(hmac.new(mac_key, value, hashlib.sha512).digest())}</p:ValueMAC></p:Secret></Data></ContentKey></ContentKeyList>
</CPIX>
"""


def canonical(text):
    return subprocess.run(["xmllint", "--c14n11", "-"], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


def sign(text, key, cert):
    """An enveloped signature over the whole document, as the last element of the root."""
    namespaces = text[text.index(' xmlns="'):text.index(' id="doc-1"')]  # in scope where SignedInfo stands
    c14n = "http://www.w3.org/2006/12/xml-c14n11"
    info = (
        f'<d:SignedInfo><d:CanonicalizationMethod Algorithm="{c14n}"></d:CanonicalizationMethod>'
        '<d:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"></d:SignatureMethod>'
        '<d:Reference URI=""><d:Transforms><d:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></d:Transform>'
        f'<d:Transform Algorithm="{c14n}"></d:Transform></d:Transforms>'
        '<d:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha512"></d:DigestMethod>'
        f'<d:DigestValue>{b64(hashlib.sha512(canonical(text)).digest())}</d:DigestValue></d:Reference></d:SignedInfo>'
    )
    value = key.sign(canonical(info.replace("<d:SignedInfo", "<d:SignedInfo" + namespaces, 1)), padding.PKCS1v15(), hashes.SHA512())
    der = cert.public_bytes(serialization.Encoding.DER)
    signature = (
        f'<d:Signature>{info}<d:SignatureValue>{b64(value)}</d:SignatureValue><d:KeyInfo><d:X509Data>'
        f'<d:X509Certificate>{b64(der)}</d:X509Certificate></d:X509Data></d:KeyInfo></d:Signature>'
    )
    return text.replace("</CPIX>", signature + "</CPIX>")


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def write(name, data):
    with open(name, "wb") as f:
        f.write(data)


recipient_key, recipient = certificate("test recipient")
write("recipient.pem", pem(recipient))
write("recipient.key", recipient_key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
text = document(recipient)
write("encrypted.xml", text.encode())
signer_key, signer = certificate("test signer")
write("signer.pem", pem(signer))
write("signed.xml", sign(text, signer_key, signer).encode())
