/**
 * Every metric of the agent, by name: first kube-router's own, with its labels, so that existing dashboards and alerts go on
 * working, then what those lack. A name that is not here cannot be written.
 */

/** One metric's description. */
export interface MetricSpec {
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

const histogram = (help: string, ...labels: string[]): MetricSpec => ({ type: 'histogram', help, labels });
const gauge = (help: string, ...labels: string[]): MetricSpec => ({ type: 'gauge', help, labels });
const counter = (help: string, ...labels: string[]): MetricSpec => ({ type: 'counter', help, labels });

const SERVICE = ['svc_namespace', 'service_name', 'service_vip', 'protocol', 'port'];

/** Metrics that kube-router exposes; all times in seconds. */
export const compatible = {
  kube_router_build_info: gauge('Constant 1, with the versions as labels.', 'goversion', 'version'),
  kube_router_bgp_peer_info: gauge('Constant 1 for each BGP neighbour.', 'address', 'type', 'asn', 'state'),
  kube_router_controller_bgp_advertisements_received: counter('Best-path changes received from peers.'),
  kube_router_controller_bgp_advertisements_sent: counter('Advertisements and withdrawals sent.', 'type'),
  kube_router_controller_bgp_internal_peers_sync_time: histogram('Time of one synchronisation of node peers.'),
  kube_router_controller_routes_sync_time: histogram('Time of one routing pass.'),
  kube_router_host_routes_sync_time: histogram('Time of one pass over learned routes.'),
  kube_router_host_routes_synced: gauge('Learned routes in force.'),
  kube_router_host_routes_added: counter('Learned routes added.'),
  kube_router_host_routes_removed: counter('Learned routes removed.'),
  kube_router_controller_iptables_sync_time: histogram('Time of one policy pass.'),
  kube_router_controller_iptables_v4_save_time: histogram('Time of reading the IPv4 filter table.'),
  kube_router_controller_iptables_v6_save_time: histogram('Time of reading the IPv6 filter table.'),
  kube_router_controller_iptables_v4_restore_time: histogram('Time of writing the IPv4 filter table.'),
  kube_router_controller_iptables_v6_restore_time: histogram('Time of writing the IPv6 filter table.'),
  kube_router_controller_policy_chains_sync_time: histogram('Time of building policy chains.'),
  kube_router_controller_policy_ipset_v4_restore_time: histogram('Time of writing IPv4 policy sets.'),
  kube_router_controller_policy_ipset_v6_restore_time: histogram('Time of writing IPv6 policy sets.'),
  kube_router_controller_policy_chains: gauge('Active policy chains.'),
  kube_router_controller_policy_ipsets: gauge('Active policy sets.'),
  kube_router_controller_ipvs_services_sync_time: histogram('Time of one service pass.'),
  kube_router_controller_ipvs_services: gauge('Virtual servers.'),
  kube_router_controller_ipvs_metrics_export_time: histogram('Time of reading service counters.'),
  kube_router_service_total_connections: counter('Connections of a service.', ...SERVICE),
  kube_router_service_packets_in: counter('Packets towards a service.', ...SERVICE),
  kube_router_service_packets_out: counter('Packets from a service.', ...SERVICE),
  kube_router_service_bytes_in: counter('Bytes towards a service.', ...SERVICE),
  kube_router_service_bytes_out: counter('Bytes from a service.', ...SERVICE),
  kube_router_service_pps_in: gauge('Packets a second towards a service.', ...SERVICE),
  kube_router_service_pps_out: gauge('Packets a second from a service.', ...SERVICE),
  kube_router_service_cps: gauge('Connections a second of a service.', ...SERVICE),
  kube_router_service_bps_in: gauge('Bytes a second towards a service.', ...SERVICE),
  kube_router_service_bps_out: gauge('Bytes a second from a service.', ...SERVICE),
} as const satisfies Record<string, MetricSpec>;

/** Metrics beyond kube-router's. */
export const own = {
  kube_router_block_latency_seconds: histogram('From a change of an object to the kernel holding it.', 'block'),
  kube_router_block_pass_seconds: histogram('Time of one pass.', 'block'),
  kube_router_block_passes_total: counter('Passes.', 'block', 'reason'),
  kube_router_block_failures_total: counter('Failed changes and broken passes.', 'block', 'reason'),
  kube_router_block_remaining: gauge('Changes still wanted after the last pass.', 'block'),
  kube_router_block_ready: gauge('1 after the first verified pass.', 'block'),
  kube_router_issues: gauge('Objects with something wrong, by kind.', 'kind'),
  kube_router_bgp_session_changes_total: counter('BGP sessions that came up or went down.', 'address', 'to'),
  kube_router_policy_packets_total: counter(
    'Packets that a policy let through, and refused packets of the pods that it selects.',
    'policy',
    'direction',
    'verdict',
  ),
  kube_router_endpoint_connections_total: counter('Connections of an endpoint.', ...SERVICE, 'endpoint'),
  kube_router_endpoint_bytes_in_total: counter('Bytes towards an endpoint.', ...SERVICE, 'endpoint'),
  kube_router_endpoint_bytes_out_total: counter('Bytes from an endpoint.', ...SERVICE, 'endpoint'),
  kube_router_bgp_peer_prefixes: gauge('Prefixes in a peer’s Adj-RIB.', 'address', 'direction'),
  kube_router_bfd_up: gauge('1 while the BFD session of a peer is up.', 'address'),
  kube_router_bfd_session_changes_total: counter('BFD sessions that came up or went down.', 'address', 'to'),
  kube_router_bgp_routes: gauge('Routes learned from peers.', 'family'),
  kube_router_bgp_advertisements: gauge('Prefixes announced by this node.', 'origin'),
  kube_router_source_stale_seconds: gauge('How long a kind of object has been out of touch; 0: in touch.', 'kind'),
  kube_router_source_objects: gauge('Objects known, by kind.', 'kind'),
  kube_router_loadbalancer_pool_used: gauge('Addresses given out of a pool.', 'pool', 'family'),
  kube_router_loadbalancer_pool_size: gauge('Addresses in a pool.', 'pool', 'family'),
  kube_router_event_loop_delay_seconds: gauge('Delay of the event loop since the last scrape.', 'quantile'),
  kube_router_resident_memory_bytes: gauge('Resident memory of the agent.'),
  kube_router_cpu_seconds_total: counter('Processor time of the agent.'),
} as const satisfies Record<string, MetricSpec>;

/** All of them. */
export const catalog = { ...compatible, ...own };

/** Name of a metric. */
export type MetricName = keyof typeof catalog;
