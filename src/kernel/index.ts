/**
 * One door to the kernel: a runner for commands, typed drivers for the tools, and `reconcile()`, the loop of every block.
 * `runner` starts every command, most of them from kept-open shells (`lane`, `direct`), and turns what goes wrong into one kind of
 * error; `ip/`, `ipset/`, `iptables/`, `ipvsadm/`, `sysctl`, `conntrack`, `nft`, `netns` and `modprobe` are thin drivers on it, each with
 * pure parsers and renderers; `ownership` is the record that lets cleanup be the exact inverse; `types` is the seam between plans and all this.
 * @module kernel
 */
export type * from './types.ts';
export type { Clock } from './clock.ts';
export { systemClock } from './clock.ts';
export type { CommandRecord, RunnerOptions, SystemRunner } from './runner.ts';
export { createRunner } from './runner.ts';
export type { BackoffOptions } from './backoff.ts';
export { backoffDelay } from './backoff.ts';
export type { ReconcileOptions } from './reconcile.ts';
export { reconcile } from './reconcile.ts';
export type { BlockOwnership, OwnedValue, Ownership, OwnershipOptions } from './ownership.ts';
export { OWNERSHIP_PATH, openOwnership } from './ownership.ts';
export type { RestoreResult, Sysctl, SysctlOptions } from './sysctl.ts';
export { createSysctl } from './sysctl.ts';
export type { CallOptions, DriverOptions, IpsetDriver } from './ipset/driver.ts';
export { createIpset } from './ipset/driver.ts';
export type { Ipset, IpsetEntry, IpsetHeader, IpsetType } from './ipset/model.ts';
export { IPSET_NAME_MAX, canonicalElement, sameHeader, splitElement } from './ipset/model.ts';
export { parseIpsetSave } from './ipset/parse.ts';
export { renderAdd, renderCreate, renderDel, renderIpset, renderIpsetChange, renderReplace } from './ipset/render.ts';
export type { IptablesDriver, IptablesOptions } from './iptables/driver.ts';
export { createIptables, detectIptablesFlavour, iptablesProgram } from './iptables/driver.ts';
export type { FlavourEvidence, IptablesChain, IptablesFlavour, IptablesState } from './iptables/parse.ts';
export { chooseFlavour, commentOf, parseIptablesSave, splitRule } from './iptables/parse.ts';
export type { IptablesBatch } from './iptables/render.ts';
export { IPTABLES_CHAIN_MAX, joinRule, quoteArgument, renderIptablesRestore } from './iptables/render.ts';
export type { IpDriver } from './ip/driver.ts';
export { createIp } from './ip/driver.ts';
export type { IpAddress, IpLink, IpNeighbour, IpNextHop, IpRoute, IpRouteType, IpRule } from './ip/model.ts';
export { LOCAL_TABLE, MAIN_TABLE } from './ip/model.ts';
export type { IpMonitorEvent, IpMonitorObject, IpMonitorOptions } from './ip/monitor.ts';
export { watchIp } from './ip/monitor.ts';
export { parseIpAddresses, parseIpLinks, parseIpNeighbours, parseIpRoutes, parseIpRules } from './ip/parse.ts';
export { isDeviceName, renderIpAddress, renderIpRoute, renderIpRule } from './ip/render.ts';
export type { IpSession, IpSessionOptions } from './ip/session.ts';
export { createIpSession } from './ip/session.ts';
export type { IpvsadmDriver, IpvsadmOptions } from './ipvsadm/driver.ts';
export { createIpvsadm } from './ipvsadm/driver.ts';
export type { IpvsAddress, IpvsEntry, IpvsForward, IpvsServer, IpvsService } from './ipvsadm/model.ts';
export { formatEndpoint, ipvsServerKey, ipvsServiceKey } from './ipvsadm/model.ts';
export type { IpvsConnection, IpvsCounters, IpvsStatistics } from './ipvsadm/parse.ts';
export { parseIpvsConnections, parseIpvsCounters, parseIpvsSave } from './ipvsadm/parse.ts';
export { renderServer, renderServerDelete, renderService, renderServiceDelete } from './ipvsadm/render.ts';
export type { ConntrackDriver, ConntrackEntry, ConntrackFilter, ConntrackTuple } from './conntrack.ts';
export { createConntrack, parseConntrack, renderConntrackFilter } from './conntrack.ts';
export type { NftDriver, NftTable } from './nft.ts';
export { createNft } from './nft.ts';
export { loadModules } from './modprobe.ts';
export { NETNS_FOLDER, createNetns, netnsIdentity, netnsPath, processNetns, removeNetns, sameNetns } from './netns.ts';
