/**
 * Judges the options of a speaker before anything starts: every fault names its path.
 * Pure.
 */
import { SdkError, isAddress, tryParsePrefix } from '../net/index.ts';
import type { PeerOptions, SessionOptions, SpeakerConfig } from './model.ts';
import type { AggregateOptions } from './rib/aggregate.ts';

function fail(path: string, reason: string): never {
  throw new SdkError(`${path} ${reason}`, { code: 'INVALID_OPTION', details: { path } });
}

function integer(value: number | undefined, low: number, high: number, path: string): void {
  if (value !== undefined && (!Number.isInteger(value) || value < low || value > high)) {
    fail(path, `must be an integer of ${low}–${high}`);
  }
}

/** A path element; none for absent values. */
function holdTime(value: number | undefined, path: string): void {
  integer(value, 0, 65_535, path);
  if (value === 1 || value === 2) fail(path, 'must be 0 or at least 3 (RFC 4271 section 4.2)');
}

function isQuad(text: string): boolean {
  return isAddress(text) && !text.includes(':') && text !== '0.0.0.0';
}

function session(options: SessionOptions, path: string): void {
  holdTime(options.holdTime, `${path}.holdTime`);
  integer(options.localAsn, 1, 0xffffffff, `${path}.localAsn`);
  if (
    options.password !== undefined &&
    (options.password.length === 0 || new TextEncoder().encode(options.password).length > 80)
  ) {
    fail(`${path}.password`, 'must have 1–80 octets');
  }
  if (typeof options.ttlSecurity === 'number') integer(options.ttlSecurity, 1, 254, `${path}.ttlSecurity`);
  if (typeof options.multihop === 'number') integer(options.multihop, 1, 255, `${path}.multihop`);
  const families: readonly string[] | undefined = options.families;
  families?.forEach((family, index) => {
    if (family !== 'ipv4-unicast' && family !== 'ipv6-unicast')
      fail(`${path}.families[${index}]`, 'must be ipv4-unicast or ipv6-unicast');
  });
  if (families?.length === 0) fail(`${path}.families`, 'must not be empty');
  integer(options.gracefulRestart?.restartTime, 1, 4095, `${path}.gracefulRestart.restartTime`);
  integer(options.gracefulRestart?.longLivedTime, 0, 0xffffff, `${path}.gracefulRestart.longLivedTime`);
  integer(options.maxPrefixes?.limit, 1, 0xffffffff, `${path}.maxPrefixes.limit`);
  if (options.bfd !== undefined) {
    integer(options.bfd.interval, 10, 60_000, `${path}.bfd.interval`);
    integer(options.bfd.multiplier, 1, 255, `${path}.bfd.multiplier`);
  }
}

function peer(options: PeerOptions, path: string): void {
  integer(options.asn, 1, 0xffffffff, `${path}.asn`);
  const [bare = '', zone] = options.address.split('%');
  if (!isAddress(bare) || zone === '') fail(`${path}.address`, `${JSON.stringify(options.address)} is no address`);
  integer(options.port, 1, 65_535, `${path}.port`);
  if (options.localAddress !== undefined && !isAddress(options.localAddress.replace(/%.*$/, ''))) {
    fail(`${path}.localAddress`, `${JSON.stringify(options.localAddress)} is no address`);
  }
  session(options, path);
}

/** RFC 4456 reflects between iBGP peers only; a peer of another AS that asks for it is a mistake in one of the two options. */
function reflection(client: boolean | undefined, asns: readonly number[], { asn }: SpeakerConfig, path: string): void {
  if (client === true && asns.some((one) => one !== asn))
    fail(`${path}.routeReflectorClient`, `is for peers of our own AS ${asn} (RFC 4456)`);
}

/**
 * Judges a whole configuration.
 * @throws SdkError `INVALID_OPTION`, `details.path` names the first fault
 */
export function checkSpeaker(config: SpeakerConfig): void {
  integer(config.asn, 1, 0xffffffff, 'asn');
  if (!isQuad(config.routerId)) fail('routerId', 'must be a dotted quad other than 0.0.0.0');
  if (config.clusterId !== undefined && !isQuad(config.clusterId))
    fail('clusterId', 'must be a dotted quad other than 0.0.0.0');
  holdTime(config.holdTime, 'holdTime');
  config.listen?.forEach((where, index) => {
    if (!isAddress(where.address.replace(/%.*$/, '')))
      fail(`listen[${index}].address`, `${JSON.stringify(where.address)} is no address`);
    integer(where.port, 0, 65_535, `listen[${index}].port`);
  });
  const seen = new Set<string>();
  config.peers?.forEach((one, index) => {
    peer(one, `peers[${index}]`);
    reflection(one.routeReflectorClient, [one.asn], config, `peers[${index}]`);
    const key = `${one.address}|${one.port ?? 179}|${one.localAddress ?? ''}`;
    if (seen.has(key)) fail(`peers[${index}].address`, 'is configured twice');
    seen.add(key);
  });
  checkAggregates(config.aggregates ?? []);
  config.dynamicPeers?.forEach((one, index) => {
    const path = `dynamicPeers[${index}]`;
    if (tryParsePrefix(one.prefix) === undefined) fail(`${path}.prefix`, `${JSON.stringify(one.prefix)} is no prefix`);
    if (one.asns.length === 0) fail(`${path}.asns`, 'must not be empty');
    one.asns.forEach((asn, at) => integer(asn, 1, 0xffffffff, `${path}.asns[${at}]`));
    reflection(one.routeReflectorClient, one.asns, config, path);
    session({ ...one, asn: one.asns[0] ?? 0 }, path);
  });
}

/** Judges aggregates. @throws SdkError `INVALID_OPTION`, `details.path` names the first fault */
export function checkAggregates(list: readonly AggregateOptions[]): void {
  const prefixes = new Set<string>();
  list.forEach(({ prefix }, index) => {
    const parsed = tryParsePrefix(prefix);
    if (parsed === undefined) fail(`aggregates[${index}].prefix`, `${JSON.stringify(prefix)} is no prefix`);
    if (prefixes.has(prefix)) fail(`aggregates[${index}].prefix`, 'is configured twice');
    prefixes.add(prefix);
  });
}
