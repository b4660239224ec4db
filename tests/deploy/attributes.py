"""The attributes and annotations that AWS knows. Neither cfn-lint nor moto nor Kubernetes knows a wrong one."""

# User guide for Network Load Balancers, "Target group attributes".
TARGET_GROUP_ATTRIBUTES = {
    "deregistration_delay.connection_termination.enabled",
    "deregistration_delay.timeout_seconds",
    "load_balancing.cross_zone.enabled",
    "preserve_client_ip.enabled",
    "proxy_protocol_v2.enabled",
    "stickiness.enabled",
    "stickiness.type",
    "target_failover.on_deregistration",
    "target_failover.on_unhealthy",
    "target_group_health.dns_failover.minimum_healthy_targets.count",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
    "target_health_state.unhealthy.connection_termination.enabled",
    "target_health_state.unhealthy.draining_interval_seconds",
}
# The same, "Load balancer attributes".
LOAD_BALANCER_ATTRIBUTES = {
    "access_logs.s3.bucket",
    "access_logs.s3.enabled",
    "access_logs.s3.prefix",
    "deletion_protection.enabled",
    "dns_record.client_routing_policy",
    "ipv6.deny_all_igw_traffic",
    "load_balancing.cross_zone.enabled",
    "secondary_ips.auto_assigned.per_subnet",
    "zonal_shift.config.enabled",
}
# kubernetes-sigs.github.io/aws-load-balancer-controller, "Service annotations".
ANNOTATIONS = {
    f"service.beta.kubernetes.io/aws-load-balancer-{name}"
    for name in (
        "attributes healthcheck-healthy-threshold healthcheck-interval healthcheck-path healthcheck-port "
        "healthcheck-protocol healthcheck-timeout healthcheck-unhealthy-threshold nlb-target-type proxy-protocol "
        "scheme target-group-attributes"
    ).split()
}
