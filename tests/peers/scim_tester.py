"""Runs scim2-tester, the conformance tests of python-scim, against a broker, and prints what each check found.

What it makes up at random is made certain where the answer depends on it: nobody is taken out in the middle of the checks,
and a login is a SPIFFE ID. Arguments: the address of SCIM, and the files of the authority, the certificate and the key.
"""

import itertools
import ssl
import sys

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server, filling

address, authority, certificate, key = sys.argv[1:]
numbers = itertools.count()
examples = filling.get_random_example_value


def example(path):
    if str(path).endswith(":logins"):
        return f"spiffe://northwind.example/person/made-up-{next(numbers)}"
    return examples(path)


class First:
    """In place of `random`: the first of what there is to choose from, which is True of True and False."""

    choice = staticmethod(lambda options: options[0])
    randint = staticmethod(lambda least, _: least)


filling.get_random_example_value = example
filling.random = First
context = ssl.create_default_context(cafile=authority)
context.load_cert_chain(certificate, key)
client = httpx2.Client(base_url=address, verify=context)
for result in check_server(SyncSCIMClient(client)):
    word = "ok" if result.status is Status.SUCCESS else "NOT"
    print(word, result.title, "|", (result.reason or "").split("\n")[0])
