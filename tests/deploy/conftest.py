"""Fixtures of the tests of deploy/: the programs, a machine to run them on, and a simulated AWS on loopback."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from machine import Machine
from moto.server import ThreadedMotoServer

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="session")
def release():
    """The folder of the programs."""
    return Path(os.environ["RELEASE"])


@pytest.fixture(scope="session")
def static():
    """The static program of the server."""
    return Path(os.environ["STATIC"])


@pytest.fixture
def machine():
    """A fresh machine."""
    with Machine() as machine:
        yield machine


@pytest.fixture
def aws_environment():
    """A fresh simulated AWS: moto's server, and the variables that make the CLI use it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    # All servers of a process share what was made.
    urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST"), timeout=10).close()
    yield {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()


@pytest.fixture
def aws(aws_environment):
    """Runs the AWS CLI, and returns its parsed output."""

    def call(*words):
        command = [Path(sys.executable).with_name("aws"), *words, "--output", "json"]
        done = subprocess.run(command, env=aws_environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return call


def body(name):
    """A CloudFormation template for moto: without the listener of a network balancer, which moto refuses."""
    text = (DEPLOY / "cloudformation" / name).read_text()
    return re.sub(r"^  Listener:\n(?:(?:    .*)?\n)+", "", text, flags=re.MULTILINE)


class Template(yaml.SafeLoader):
    """CloudFormation's YAML: `!Sub text` is read as `{"Sub": "text"}`."""


def _tagged(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    return {tag: loader.construct_mapping(node, deep=True)}


Template.add_multi_constructor("!", _tagged)


def template(name):
    """A parsed CloudFormation template."""
    return yaml.load((DEPLOY / "cloudformation" / name).read_text(), Template)
