//! Advice for each product. docs/check-and-decode.md has the same lines in tables.

/// A product, and a line of advice about it.
pub(super) type Advice = (&'static str, &'static str);

/// How to turn the header on. A policy of a Classic Load Balancer may exist without being in force: the second command
/// is right even if the first one is refused.
pub(super) const TURN_ON: [Advice; 10] = [
    (
        "Classic Load Balancer",
        "aws elb create-load-balancer-policy --load-balancer-name NAME --policy-name EnableProxyProtocol \
         --policy-type-name ProxyProtocolPolicyType --policy-attributes AttributeName=ProxyProtocol,AttributeValue=true; \
         aws elb set-load-balancer-policies-for-backend-server --load-balancer-name NAME --instance-port PORT \
         --policy-names EnableProxyProtocol",
    ),
    (
        "Network Load Balancer",
        "aws elbv2 modify-target-group-attributes --target-group-arn ARN \
         --attributes Key=proxy_protocol_v2.enabled,Value=true",
    ),
    (
        "AWS Load Balancer Controller",
        "the annotation service.beta.kubernetes.io/aws-load-balancer-proxy-protocol: \"*\" on the Service",
    ),
    HAPROXY_SENDS,
    NGINX_SENDS,
    (
        "ingress-nginx",
        "PORT: NAMESPACE/SERVICE:PORT::PROXY in the ConfigMap of TCP services, and use-proxy-protocol: \"true\" where a \
         balancer before it sends a header",
    ),
    (
        "Envoy",
        "the transport socket envoy.transport_sockets.upstream_proxy_protocol on the cluster, around its raw_buffer or tls",
    ),
    ("Traefik", "proxyProtocol: {version: 2} in the loadBalancer of the TCP service"),
    ("Caddy", "proxy_protocol v2 in the http transport of reverse_proxy (plain TCP takes the layer4 plugin)"),
    ("no balancer in between", "--send v1 plays one"),
];

pub(super) const HAPROXY_SENDS: Advice = ("HAProxy", "server NAME ADDRESS:PORT send-proxy-v2");
pub(super) const NGINX_SENDS: Advice = ("nginx", "proxy_protocol on; in the stream server");

/// For a listener that expects a header from clients and should not.
pub(super) const TAKE_OFF: [Advice; 2] =
    [("HAProxy", "no accept-proxy on the bind line"), ("nginx", "no proxy_protocol on the listen line")];

/// For a header that does not arrive although it is on.
pub(super) const MISSING: [Advice; 2] = [
    (
        "Network Load Balancer",
        "it sends the header with the client's first bytes; AWS support sets proxy_protocol.header_placement to \
         on_first_ack for servers that speak first",
    ),
    (
        "inside a Kubernetes cluster",
        "kube-proxy delivers traffic for the balancer's address itself, without a header: check from outside, or have the \
         Service's status say ipMode: Proxy",
    ),
];

/// For a hop that sends its own header about the hop before it.
pub(super) const PASS_ON: [Advice; 5] = [
    ("HAProxy", "send-proxy-v2 on the first hop, and accept-proxy on the bind line of each hop after it"),
    ("nginx", "proxy_protocol on the listen line, and set_real_ip_from with the address of the hop before it"),
    ("Envoy", "the listener filter envoy.filters.listener.proxy_protocol"),
    ("Traefik", "proxyProtocol.trustedIPs of the entry point"),
    ("Caddy", "the listener wrapper proxy_protocol, before tls"),
];

/// For a server that takes the header for payload.
pub(super) const NOT_LOOKED_FOR: [Advice; 2] = [
    ("a server with --proxy-protocol off", "start it with --proxy-protocol required"),
    (
        "a server with --proxy-protocol mixed or optional",
        "name the address from which the balancer connects with --trust: the header of a stranger is payload",
    ),
];

/// For headers that the server refuses.
pub(super) const TWO_FAMILIES: Advice =
    ("two families in one line", "listen on the family that the clients use, or send version 2 (nginx, curl)");
pub(super) const SPOILED: Advice = (
    "a CRC32C that does not match",
    "a hop passed it on and changed the header: let that hop drop TLV 0x03 (Envoy passing TLVs on and adding its own)",
);
pub(super) const OTHER_VERSION: Advice = (
    "a header of the other version",
    "let the balancer send the version that the server takes, or start the server without --proxy-version",
);
pub(super) const CUT: Advice =
    ("a header cut short", "the hop must send the whole header before it closes, in one segment (section 2)");

/// All advice that the documentation lists.
#[cfg(test)]
const ALL: [&[Advice]; 6] =
    [&TURN_ON, &TAKE_OFF, &MISSING, &PASS_ON, &NOT_LOOKED_FOR, &[TWO_FAMILIES, SPOILED, OTHER_VERSION, CUT]];

#[cfg(test)]
mod tests {
    #[test]
    fn the_documentation_has_the_same_lines() {
        let page = include_str!("../../docs/check-and-decode.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
        for (product, words) in super::ALL.concat() {
            let row = format!("| {product} | {words} |");
            assert!(rows.iter().any(|line| line.replace('`', "") == row), "{row}");
        }
    }
}
