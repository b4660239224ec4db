"""The CloudFormation templates: linted, made in moto's AWS by the AWS CLI, and their UserData run on a machine.

What moto 5.2 cannot do in templates is done here by CLI calls with the template's own values: it takes every balancer
for an application balancer, which has no TCP listeners, and ignores the attributes of target groups. It leaves out
scaling policies and the attributes of a Classic Load Balancer's policies, too: those are only linted and read."""

import base64
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from attributes import LOAD_BALANCER_ATTRIBUTES, TARGET_GROUP_ATTRIBUTES
from conftest import DEPLOY, body, template
from echo import talk
from machine import until

URL = "http://127.0.0.1:8000/proxy-echo"


def attributes(listed):
    return {attribute["Key"]: attribute["Value"] for attribute in listed}


@pytest.mark.parametrize("region", ["us-east-1", "ap-northeast-1"])
def test_templates_have_no_lint(region):
    files = sorted((DEPLOY / "cloudformation").glob("*.yaml"))
    assert len(files) == 2
    lint = [Path(sys.executable).with_name("cfn-lint"), "--regions", region, "--", *files]
    done = subprocess.run(lint, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["classic.yaml", "nlb.yaml"])
def test_every_attribute_is_one_that_aws_knows(name):
    for resource in template(name)["Resources"].values():
        properties = resource.get("Properties", {})
        assert set(attributes(properties.get("TargetGroupAttributes", []))) <= TARGET_GROUP_ATTRIBUTES
        assert set(attributes(properties.get("LoadBalancerAttributes", []))) <= LOAD_BALANCER_ATTRIBUTES


@pytest.mark.parametrize("name", ["classic.yaml", "nlb.yaml"])
def test_the_units_installed_are_those_of_deploy_systemd(name):
    text = (DEPLOY / "cloudformation" / name).read_text()
    lines = [line.strip() for line in text.splitlines()]
    for unit in ("proxy-echo.service", "proxy-echo.socket"):
        start = lines.index(f"cat > /etc/systemd/system/{unit} <<'END'") + 1
        assert lines[start : lines.index("END", start)] == (DEPLOY / "systemd" / unit).read_text().splitlines()


def create(aws, name, text, **parameters):
    """Makes a stack, waits for it, and returns its resources: logical to physical names."""
    given = [f"ParameterKey={key},ParameterValue={value}" for key, value in parameters.items()]
    aws(
        "cloudformation",
        "create-stack",
        "--stack-name",
        name,
        "--template-body",
        text,
        "--capabilities",
        "CAPABILITY_IAM",
        "--parameters",
        *given,
    )
    aws("cloudformation", "wait", "stack-create-complete", "--stack-name", name)
    resources = aws("cloudformation", "describe-stack-resources", "--stack-name", name)["StackResources"]
    made = [resource for resource in resources if "LogicalResourceId" in resource]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in made}


def delete(aws, name):
    aws("cloudformation", "delete-stack", "--stack-name", name)
    aws("cloudformation", "wait", "stack-delete-complete", "--stack-name", name)


def classic(aws, text=None, sha256="0" * 64, **parameters):
    return create(aws, "echo", text or body("classic.yaml"), BinaryUrl=URL, BinarySha256=sha256, **parameters)


def nlb(aws, sha256="0" * 64, **parameters):
    vpc = aws("ec2", "describe-vpcs")["Vpcs"][0]["VpcId"]
    subnets = [subnet["SubnetId"] for subnet in aws("ec2", "describe-subnets")["Subnets"]]
    assert len(subnets) > 1
    parameters |= {"VpcId": vpc, "SubnetIds": "\\,".join(subnets), "BinaryUrl": URL, "BinarySha256": sha256}
    return create(aws, "echo", body("nlb.yaml"), **parameters)


def only_from(aws, group, source):
    """The ports of a security group, which must be open only to another group."""
    ports = []
    for rule in aws("ec2", "describe-security-groups", "--group-ids", group)["SecurityGroups"][0]["IpPermissions"]:
        assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [source]
        assert not rule["IpRanges"] and not rule["Ipv6Ranges"]
        ports.append((rule["FromPort"], rule["ToPort"]))
    return sorted(ports)


def test_the_classic_balancers_policy_is_in_force_on_the_back_end_port(aws):
    resources = classic(aws)
    balancer = resources["ElasticLoadBalancer"]
    described = aws("elb", "describe-load-balancers", "--load-balancer-names", balancer)["LoadBalancerDescriptions"][0]
    assert described["BackendServerDescriptions"] == [{"InstancePort": 8888, "PolicyNames": ["EnableProxyProtocol"]}]
    assert described["HealthCheck"] == {
        "Target": "TCP:8888",
        "HealthyThreshold": 3,
        "UnhealthyThreshold": 5,
        "Interval": 30,
        "Timeout": 5,
    }
    listener = described["ListenerDescriptions"][0]["Listener"]
    assert (listener["Protocol"], listener["LoadBalancerPort"], listener["InstancePort"]) == ("TCP", 8888, 8888)
    assert [instance["InstanceId"] for instance in described["Instances"]] == [resources["EC2Instance"]]
    policies = aws("elb", "describe-load-balancer-policies", "--load-balancer-name", balancer)["PolicyDescriptions"]
    (policy,) = [policy for policy in policies if policy["PolicyName"] == "EnableProxyProtocol"]
    assert (policy["PolicyName"], policy["PolicyTypeName"]) == ("EnableProxyProtocol", "ProxyProtocolPolicyType")
    written = template("classic.yaml")["Resources"]["ElasticLoadBalancer"]["Properties"]["Policies"][0]
    assert written["Attributes"] == [{"Name": "ProxyProtocol", "Value": "true"}]
    ports = only_from(aws, resources["InstanceSecurityGroup"], resources["LoadBalancerSecurityGroup"])
    assert ports == [(8888, 8888)]
    delete(aws, "echo")
    assert aws("elb", "describe-load-balancers")["LoadBalancerDescriptions"] == []


def test_without_instance_ports_no_policy_is_in_force(aws):
    """The mistake that the article warns of: the test above must find it."""
    text = body("classic.yaml").replace("          InstancePorts: [!Ref ServerPort]\n", "")
    balancer = classic(aws, text)["ElasticLoadBalancer"]
    described = aws("elb", "describe-load-balancers", "--load-balancer-names", balancer)["LoadBalancerDescriptions"][0]
    assert "EnableProxyProtocol" in described["Policies"]["OtherPolicies"]
    assert described["BackendServerDescriptions"] == []


def network_balancer(aws, resources):
    """The ARN of a network balancer, which moto makes when the CLI asks."""
    subnets = [subnet["SubnetId"] for subnet in aws("ec2", "describe-subnets")["Subnets"]]
    made = aws(
        *("elbv2", "create-load-balancer", "--name", "network", "--type", "network", "--subnets", *subnets),
        *("--security-groups", resources["LoadBalancerSecurityGroup"]),
    )
    return made["LoadBalancers"][0]["LoadBalancerArn"]


def test_the_network_balancer_sends_version_2_and_asks_the_admin_port(aws):
    resources = nlb(aws)
    group, wanted = resources["TargetGroup"], template("nlb.yaml")["Resources"]["TargetGroup"]["Properties"]
    arn, action = network_balancer(aws, resources), f"Type=forward,TargetGroupArn={group}"
    aws(
        "elbv2",
        "create-listener",
        "--load-balancer-arn",
        arn,
        "--protocol",
        "TCP",
        "--port",
        "8888",
        "--default-actions",
        action,
    )
    listener = aws("elbv2", "describe-listeners", "--load-balancer-arn", arn)["Listeners"][0]
    assert (listener["Protocol"], listener["Port"]) == ("TCP", 8888)
    pairs = [f"Key={key},Value={value}" for key, value in attributes(wanted["TargetGroupAttributes"]).items()]
    aws("elbv2", "modify-target-group-attributes", "--target-group-arn", group, "--attributes", *pairs)
    now = attributes(aws("elbv2", "describe-target-group-attributes", "--target-group-arn", group)["Attributes"])
    assert now["proxy_protocol_v2.enabled"] == "true"
    assert now["preserve_client_ip.enabled"] == "false"
    assert now["target_health_state.unhealthy.connection_termination.enabled"] == "false"
    described = aws("elbv2", "describe-target-groups", "--target-group-arns", group)["TargetGroups"][0]
    check = [described[f"HealthCheck{key}"] for key in ("Protocol", "Port", "Path")]
    assert (described["Protocol"], described["Port"], check) == ("TCP", 8888, ["HTTP", "9000", "/readyz"])
    scaling = aws("autoscaling", "describe-auto-scaling-groups")["AutoScalingGroups"][0]
    assert scaling["TargetGroupARNs"] == [group] and scaling["MinSize"] == 2
    assert len(scaling["VPCZoneIdentifier"].split(",")) > 1
    ports = only_from(aws, resources["InstanceSecurityGroup"], resources["LoadBalancerSecurityGroup"])
    assert ports == [(8888, 8888), (9000, 9000)]


def certificate(aws):
    return aws("acm", "request-certificate", "--domain-name", "echo.example.com")["CertificateArn"]


def clients(aws, resources):
    """The networks from which clients may connect, by port."""
    group = aws("ec2", "describe-security-groups", "--group-ids", resources["LoadBalancerSecurityGroup"])
    rules = group["SecurityGroups"][0]["IpPermissions"]
    assert not any(rule["UserIdGroupPairs"] or rule["Ipv6Ranges"] for rule in rules)
    return [(rule["FromPort"], rule["ToPort"], block["CidrIp"]) for rule in rules for block in rule["IpRanges"]]


@pytest.mark.parametrize(
    "make, service, listed", [(classic, "elb", "LoadBalancerDescriptions"), (nlb, "elbv2", "LoadBalancers")]
)
def test_scheme_and_clients_are_those_that_are_asked_for(aws, make, service, listed):
    for parameters, scheme, network in (
        ({}, "internet-facing", "0.0.0.0/0"),
        ({"Scheme": "internal", "ClientCidr": "192.0.2.0/24"}, "internal", "192.0.2.0/24"),
    ):
        resources = make(aws, **parameters)
        assert [balancer["Scheme"] for balancer in aws(service, "describe-load-balancers")[listed]] == [scheme]
        assert clients(aws, resources) == [(8888, 8888, network)]
        delete(aws, "echo")


@pytest.mark.parametrize("name", ["classic.yaml", "nlb.yaml"])
@pytest.mark.parametrize(
    "parameter, right, wrong",
    [
        ("ClientCidr", ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.1/32"], ["", "192.0.2.0", "192.0.2.0/33", "::/0", "all"]),
        (
            "CertificateArn",
            ["", "arn:aws:acm:us-east-1:1:certificate/1", "arn:aws-cn:iam::1:server-certificate/a/b"],
            ["certificate/1", "arn:aws:s3:::bucket", "arn:aws:acm:us-east-1:1:certificate/1 2"],
        ),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(name, parameter, right, wrong):
    # moto asks no pattern, and AWS wants the whole value to match.
    pattern = template(name)["Parameters"][parameter]["AllowedPattern"]
    assert [value for value in right + wrong if re.fullmatch(pattern, value)] == right


def test_the_classic_balancer_ends_tls_and_still_sends_the_header(aws):
    arn = certificate(aws)
    balancer = classic(aws, CertificateArn=arn)["ElasticLoadBalancer"]
    described = aws("elb", "describe-load-balancers", "--load-balancer-names", balancer)["LoadBalancerDescriptions"][0]
    listener = described["ListenerDescriptions"][0]["Listener"]
    assert (listener["Protocol"], listener["SSLCertificateId"]) == ("SSL", arn)
    assert described["BackendServerDescriptions"] == [{"InstancePort": 8888, "PolicyNames": ["EnableProxyProtocol"]}]
    # moto takes the clients' protocol for the servers', and knows no policies of listeners and no attributes of policies.
    written = template("classic.yaml")["Resources"]["ElasticLoadBalancer"]["Properties"]
    (listener,), (_, policy) = written["Listeners"], written["Policies"]
    # A TLS back end would get no header.
    assert listener["InstanceProtocol"] == "TCP"
    assert listener["PolicyNames"] == {"If": ["HasCertificate", [policy["PolicyName"]], {"Ref": "AWS::NoValue"}]}
    assert policy["PolicyType"] == "SSLNegotiationPolicyType"
    wanted = [{"Name": "Reference-Security-Policy", "Value": "ELBSecurityPolicy-TLS-1-2-2017-01"}]
    assert policy["Attributes"] == wanted and "InstancePorts" not in policy


def test_the_network_balancers_tls_listener_forwards_to_the_same_group(aws):
    arn = certificate(aws)
    resources = nlb(aws, CertificateArn=arn)
    written = template("nlb.yaml")["Resources"]["Listener"]["Properties"]
    with_certificate = {key: written[key]["If"][1] for key in ("Protocol", "Certificates", "SslPolicy")}
    without = {written[key]["If"][0] for key in with_certificate}, written["Protocol"]["If"][2]
    assert without == ({"HasCertificate"}, "TCP")
    assert with_certificate["Certificates"] == [{"CertificateArn": {"Ref": "CertificateArn"}}]
    balancer, group = network_balancer(aws, resources), resources["TargetGroup"]
    aws(
        *("elbv2", "create-listener", "--load-balancer-arn", balancer, "--port", "8888"),
        *("--protocol", with_certificate["Protocol"], "--ssl-policy", with_certificate["SslPolicy"]),
        *("--certificates", f"CertificateArn={arn}", "--default-actions", f"Type=forward,TargetGroupArn={group}"),
    )
    listener = aws("elbv2", "describe-listeners", "--load-balancer-arn", balancer)["Listeners"][0]
    assert (listener["Protocol"], listener["SslPolicy"]) == ("TLS", "ELBSecurityPolicy-TLS13-1-2-Res-2021-06")
    assert [certificate["CertificateArn"] for certificate in listener["Certificates"]] == [arn]
    assert listener["DefaultActions"][0]["TargetGroupArn"] == group
    assert aws("elbv2", "describe-target-groups", "--target-group-arns", group)["TargetGroups"][0]["Protocol"] == "TCP"


@pytest.fixture
def binary(machine, static):
    """A machine that can fetch the server's binary from itself, with a file in place of AWS's program for signals. The
    binary's SHA-256."""
    signal = '#!/bin/sh\necho "$@" > /run/signal\n'
    machine.run("install", "-D", "-m", "755", "/dev/stdin", "/opt/aws/bin/cfn-signal", input=signal)
    machine.copy(static, "/srv/www/proxy-echo")
    serve = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "/srv/www", "8000"]
    machine.start(*serve)
    machine.wait_for_port(8000)
    return hashlib.sha256(static.read_bytes()).hexdigest()


def user_data(aws, name, sha256):
    """The script as CloudFormation makes it, with its parameters replaced."""
    if name == "classic":
        instance = classic(aws, sha256=sha256)["EC2Instance"]
        answer = aws("ec2", "describe-instance-attribute", "--instance-id", instance, "--attribute", "userData")
        data = answer["UserData"]["Value"]
    else:
        launch = nlb(aws, sha256)["LaunchTemplate"]
        versions = aws("ec2", "describe-launch-template-versions", "--launch-template-id", launch)[
            "LaunchTemplateVersions"
        ]
        data = versions[0]["LaunchTemplateData"]["UserData"]
    script = base64.b64decode(data)
    assert script.startswith(b"#!/bin/bash\n") and len(script) <= 16384, "EC2's limit"
    return script.decode()


@pytest.mark.parametrize("name, resource", [("classic", "EC2Instance"), ("nlb", "AutoScalingGroup")])
def test_user_data_starts_the_server(aws, machine, binary, name, resource):
    machine.run("bash", "-s", input=user_data(aws, name, binary))
    talk(machine.connect(8888))
    signal = machine.run("cat", "/run/signal").stdout.strip()
    assert signal == f"--exit-code 0 --stack echo --resource {resource} --region us-east-1"
    for unit in ("proxy-echo.socket", "proxy-echo.service"):
        assert machine.run("systemctl", "is-enabled", unit).stdout.strip() == "enabled"
    if name == "nlb":
        ready = machine.run(
            "curl", "--silent", "--write-out", "%{http_code}", "--output", "/dev/null", "127.0.0.1:9000/readyz"
        )
        assert ready.stdout == "200"
    else:
        until(lambda: "IN> Hello<CR><LF>" in machine.run("journalctl", "--unit", "proxy-echo").stdout)


@pytest.mark.parametrize("name", ["classic", "nlb"])
def test_user_data_stops_at_a_binary_that_is_another(aws, machine, binary, name):
    done = machine.run("bash", "-s", input=user_data(aws, name, "0" * 64), check=False)
    assert done.returncode != 0 and "FAILED" in done.stdout
    assert machine.run("cat", "/run/signal").stdout.startswith("--exit-code 1 ")
    assert machine.run("ls", "/usr/local/bin/proxy-echo", check=False).returncode != 0
    assert machine.run("ss", "--no-header", "--listening", "--tcp", "sport = :8888").stdout == ""
