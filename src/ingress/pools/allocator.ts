/**
 * Gives LoadBalancer Services their addresses: pools, requested addresses, sharing, families. Pure memory: it is told what the
 * API holds, decides, and remembers what it has decided, so that two decisions in a row never give out one address twice.
 * The controller writes and reads back.
 */
import { compareAddresses, formatAddress, textFamily, tryParseAddress } from '../../net/address.ts';
import type { Address } from '../../net/address.ts';
import type { AddressRange } from '../../net/intervals.ts';
import { tryParsePrefix } from '../../net/prefix.ts';
import { rangeAt, rangeSize, tryParseRange, usableRange } from '../../net/ranges.ts';
import type { Family, Issue } from '../../net/values.ts';
import { selectorMatches } from '../../objects/selector.ts';
import type { ServiceObject, StringMap } from '../../objects/types.ts';
import { serviceAnnotations } from '../model.ts';
import type { Allocation, PoolConfig, PoolOptions, PoolUsage } from './model.ts';

/** Class name of our Services. */
export const LOAD_BALANCER_CLASS = 'kube-router';

/** Allocator with memory; see {@link createPoolAllocator}. */
export interface PoolAllocator {
  /** Problems of the configuration itself. */
  readonly issues: readonly Issue[];
  /** Takes note of a Service as the API has it; undefined: it is gone. */
  observe(key: string, service: ServiceObject | undefined): void;
  /** Decides what a Service should have, and holds it for it until it is observed again. */
  allocate(service: ServiceObject, namespaceLabels?: StringMap): Allocation;
  /** How full each pool is, in the order of the configuration. */
  usage(): readonly PoolUsage[];
}

interface Pool {
  readonly config: PoolConfig;
  readonly ranges: Readonly<Record<Family, readonly AddressRange[]>>;
  readonly size: Readonly<Record<Family, bigint>>;
  /** Where the next search begins: after the address given out last, so that a freed one rests. */
  readonly cursor: Record<Family, bigint>;
}

/** How a Service holds an address. */
interface Holder {
  readonly key: string;
  readonly namespace: string;
  readonly sharingKey: string;
  readonly ports: ReadonlySet<string>;
  readonly local: boolean;
  readonly selector: string;
}

const keyOf = (service: ServiceObject): string => `${service.namespace}/${service.name}`;

function holderOf(service: ServiceObject): Holder {
  return {
    key: keyOf(service),
    namespace: service.namespace,
    sharingKey: service.annotations[serviceAnnotations.sharingKey]?.trim() ?? '',
    ports: new Set(service.ports.map((port) => `${port.protocol}/${port.port}`)),
    local: service.externalTrafficPolicy === 'Local',
    selector: JSON.stringify(Object.entries(service.selector).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/**
 * Whether two Services may have one address: both say so with one key, in one namespace, on different ports; and where one cares
 * on which node its endpoints are (policy Local), both must have the same pods, else a node with pods of one would swallow traffic of the other.
 */
function mayShare(a: Holder, b: Holder): boolean {
  if (a.sharingKey === '' || a.sharingKey !== b.sharingKey || a.namespace !== b.namespace) return false;
  if ([...a.ports].some((port) => b.ports.has(port))) return false;
  return (!a.local && !b.local) || (a.local === b.local && a.selector === b.selector);
}

function readPool(config: PoolConfig, issues: Issue[]): Pool {
  const ranges: Record<Family, AddressRange[]> = { 4: [], 6: [] };
  const complain = (field: string, text: string): void => {
    issues.push({ object: `Pool ${config.name}`, field, reason: `"${text}" is unusable; it was left out` });
  };
  const families = config.families ?? [4, 6];
  const add = (range: AddressRange): void => {
    if (families.includes(range.first.family)) ranges[range.first.family].push(range);
  };
  (config.cidrs ?? []).forEach((text, index) => {
    const prefix = tryParsePrefix(text.trim(), { hostBits: 'mask' });
    if (prefix === undefined) complain(`cidrs[${index}]`, text);
    else add(usableRange(prefix));
  });
  (config.ranges ?? []).forEach((text, index) => {
    const range = tryParseRange(text.trim());
    if (range === undefined) complain(`ranges[${index}]`, text);
    else add(range);
  });
  const size = (family: Family): bigint => ranges[family].reduce((sum, range) => sum + rangeSize(range), 0n);
  return { config, ranges, size: { 4: size(4), 6: size(6) }, cursor: { 4: 0n, 6: 0n } };
}

const holds = (range: AddressRange, address: Address): boolean =>
  range.first.family === address.family &&
  compareAddresses(range.first, address) <= 0 &&
  compareAddresses(address, range.last) <= 0;

function inPool(pool: Pool, text: string): boolean {
  const address = tryParseAddress(text);
  return address !== undefined && pool.ranges[address.family].some((range) => holds(range, address));
}

/** The address at a place of a pool's ranges, one after the other. */
function addressAt(pool: Pool, family: Family, index: bigint): string | undefined {
  let rest = index;
  for (const range of pool.ranges[family]) {
    const size = rangeSize(range);
    if (rest < size) {
      const address = rangeAt(range, rest);
      return address === undefined ? undefined : formatAddress(address);
    }
    rest -= size;
  }
  return undefined;
}

/**
 * Makes an allocator that knows nothing yet.
 * @example
 * ```ts
 * import { project } from 'kube-router-sdk/informers';
 * import { createPoolAllocator } from 'kube-router-sdk/ingress';
 * import { buildService } from 'kube-router-sdk/testing';
 *
 * const pools = createPoolAllocator({ pools: [{ name: 'public', ranges: ['203.0.113.10-203.0.113.20'] }] });
 * const raw = buildService('shop/web', { type: 'LoadBalancer', clusterIPs: ['10.96.0.10'], ports: [{ port: 80 }] });
 * const service = project('Service', raw).object;
 * if (service !== undefined) console.log(pools.allocate(service).ips.join()); // 203.0.113.10
 * ```
 */
export function createPoolAllocator(options: PoolOptions): PoolAllocator {
  const issues: Issue[] = [];
  const pools = options.pools.map((config) => readPool(config, issues));
  const taken = new Map<string, Map<string, Holder>>();
  const heldBy = new Map<string, readonly string[]>();

  const hold = (key: string, holder: Holder | undefined, addresses: readonly string[]): void => {
    for (const address of heldBy.get(key) ?? []) {
      const holders = taken.get(address);
      holders?.delete(key);
      if (holders?.size === 0) taken.delete(address);
    }
    if (holder === undefined || addresses.length === 0) {
      heldBy.delete(key);
      return;
    }
    for (const address of addresses) {
      const holders = taken.get(address) ?? new Map<string, Holder>();
      holders.set(key, holder);
      taken.set(address, holders);
    }
    heldBy.set(key, addresses);
  };

  const free = (address: string, holder: Holder): boolean => {
    for (const [key, other] of taken.get(address) ?? [])
      if (key !== holder.key && !mayShare(holder, other)) return false;
    return true;
  };
  /** Of several that hold an address without sharing it, the first by name keeps it. */
  const loses = (address: string, holder: Holder): boolean => {
    for (const [key, other] of taken.get(address) ?? []) if (key < holder.key && !mayShare(holder, other)) return true;
    return false;
  };

  const usedIn = (pool: Pool, family: Family): number => {
    let count = 0;
    for (const address of taken.keys()) if (textFamily(address) === family && inPool(pool, address)) count++;
    return count;
  };

  const next = (pool: Pool, family: Family, holder: Holder): string | undefined => {
    const size = pool.size[family];
    if (size === 0n) return undefined;
    // A sharer moves in with those that it may share with, before a new address is opened.
    if (holder.sharingKey !== '') {
      for (const [address, holders] of taken) {
        if (textFamily(address) !== family || !inPool(pool, address)) continue;
        if (holders.size > 0 && free(address, holder)) return address;
      }
    }
    // One more look than there are taken addresses finds a free one, if there is any.
    const looks = size <= BigInt(taken.size) ? size : BigInt(taken.size) + 1n;
    for (let step = 0n; step < looks; step++) {
      const index = (pool.cursor[family] + step) % size;
      const address = addressAt(pool, family, index);
      if (address === undefined || taken.has(address)) continue;
      pool.cursor[family] = (index + 1n) % size;
      return address;
    }
    return undefined;
  };

  const allocate = (service: ServiceObject, namespaceLabels: StringMap): Allocation => {
    const key = keyOf(service);
    const object = `Service ${key}`;
    const found: Issue[] = [];
    const current = service.ingress.map((one) => one.ip);
    const ours =
      service.loadBalancerClass === LOAD_BALANCER_CLASS ||
      ((options.defaultClass ?? true) && ['', 'default'].includes(service.loadBalancerClass));
    if (service.type !== 'LoadBalancer' || !ours || service.deletedAt !== undefined) {
      return { outcome: 'foreign', ips: current, exhausted: false, issues: [] };
    }
    const holder = holderOf(service);
    const annotation = (name: string): string | undefined => {
      const text = service.annotations[name]?.trim();
      return text === '' ? undefined : text;
    };
    /** Nothing new can be given: it keeps what it has, except an address that is another's too and that the other had first. */
    const nothing = (exhausted: boolean): Allocation => {
      const kept = current.filter((ip) => !loses(ip, holder));
      if (kept.length === current.length) return { outcome: 'none', ips: current, exhausted, issues: found };
      return { outcome: 'assign', ips: kept, exhausted, issues: found };
    };
    const allowed = pools.filter(
      ({ config }) =>
        (config.namespaceSelector === undefined || selectorMatches(config.namespaceSelector, namespaceLabels)) &&
        (config.serviceSelector === undefined || selectorMatches(config.serviceSelector, service.labels)),
    );
    const wantedPool = annotation(serviceAnnotations.pool);
    const poolField = `metadata.annotations["${serviceAnnotations.pool}"]`;
    if (wantedPool !== undefined && !allowed.some(({ config }) => config.name === wantedPool)) {
      found.push({ object, field: poolField, reason: `there is no pool "${wantedPool}" that it may use` });
      return nothing(false);
    }
    const candidates = allowed.filter(({ config }) =>
      wantedPool === undefined ? config.autoAssign !== false : config.name === wantedPool,
    );

    const requestField =
      annotation(serviceAnnotations.requestedIps) === undefined
        ? 'spec.loadBalancerIP'
        : `metadata.annotations["${serviceAnnotations.requestedIps}"]`;
    const requested = new Map<Family, string>();
    const texts = annotation(serviceAnnotations.requestedIps) ?? service.loadBalancerIP;
    for (const part of texts.split(',')) {
      const text = part.trim();
      if (text === '') continue;
      const address = tryParseAddress(text);
      const refuse = (reason: string): void => void found.push({ object, field: requestField, reason });
      if (address === undefined) refuse(`"${text}" is no address`);
      else if (!service.ipFamilies.includes(address.family)) refuse(`${text} is of a family that the Service has not`);
      else if (requested.has(address.family)) refuse(`${text} is a second address of its family`);
      else requested.set(address.family, formatAddress(address));
    }
    if (found.length > 0) return nothing(false);

    let exhausted = false;
    const families = service.ipFamilies.length > 0 ? service.ipFamilies : ([4] as const);
    const result = new Map<Family, string>();
    for (const family of families) {
      const wanted = requested.get(family);
      const has = current.find((ip) => textFamily(ip) === family);
      if (wanted !== undefined) {
        const usable = (wantedPool === undefined ? allowed : candidates).some((pool) => inPool(pool, wanted));
        if (!usable) found.push({ object, field: requestField, reason: `${wanted} lies in no pool that it may use` });
        else if (!free(wanted, holder) && !(has === wanted && !loses(wanted, holder))) {
          const others = [...(taken.get(wanted)?.keys() ?? [])].filter((one) => one !== key).sort();
          found.push({ object, field: requestField, reason: `${wanted} is taken by Service ${others.join(', ')}` });
        } else result.set(family, wanted);
        continue;
      }
      // What it has stays, unless another was there first or the pool that it asks for is another one.
      const misplaced = has !== undefined && wantedPool !== undefined && !candidates.some((pool) => inPool(pool, has));
      if (has !== undefined && !misplaced && !loses(has, holder)) {
        result.set(family, has);
        continue;
      }
      const given = candidates.map((pool) => next(pool, family, holder)).find((address) => address !== undefined);
      if (given !== undefined) result.set(family, given);
      else {
        exhausted ||= candidates.some((pool) => pool.size[family] > 0n);
        const reason = candidates.some((pool) => pool.size[family] > 0n)
          ? `no IPv${family} address is left in ${candidates.map(({ config }) => config.name).join(', ')}`
          : `no pool that it may use has IPv${family} addresses`;
        found.push({ object, field: 'status.loadBalancer', reason });
      }
    }
    const complete = result.size === families.length;
    const enough = service.ipFamilyPolicy === 'RequireDualStack' ? complete : result.size > 0;
    if (!enough) return nothing(exhausted);
    const ips = families.flatMap((family) => result.get(family) ?? []);
    // Preferring two families and getting one is no fault while the pools have one only.
    const silent = service.ipFamilyPolicy === 'PreferDualStack' && !exhausted && requested.size === 0;
    const same = ips.length === current.length && ips.every((ip) => current.includes(ip));
    // What it had is not free before the API says so: the write may be refused.
    if (!same) hold(key, holder, [...new Set([...current, ...ips, ...service.externalIPs])]);
    return { outcome: same ? 'keep' : 'assign', ips, exhausted, issues: silent ? [] : found };
  };

  return {
    issues,
    observe(key, service) {
      if (service === undefined) hold(key, undefined, []);
      else {
        const addresses = [...service.ingress.map((one) => one.ip), ...service.externalIPs];
        hold(key, holderOf(service), [...new Set(addresses.filter((text) => tryParseAddress(text) !== undefined))]);
      }
    },
    allocate: (service, namespaceLabels = {}) => allocate(service, namespaceLabels),
    usage: () =>
      pools.flatMap((pool) =>
        ([4, 6] as const).flatMap((family): PoolUsage[] =>
          pool.size[family] === 0n
            ? []
            : [{ name: pool.config.name, family, size: pool.size[family], used: usedIn(pool, family) }],
        ),
      ),
  };
}
