/**
 * Reads the route server's configuration: exact keys, exact types, every fault named by its path.
 * Pure; main.ts reads the file.
 */
import type { PeerOptions, SpeakerOptions } from 'kube-router-sdk/bgp';

/** A fault of the configuration. */
export interface Fault {
  /** Path of the value, e.g. `peers[0].asn`. */
  readonly path: string;
  readonly reason: string;
}

type Check = (value: unknown, path: string, faults: Fault[]) => void;

const text: Check = (value, path, faults) => {
  if (typeof value !== 'string' || value === '') faults.push({ path, reason: 'must be a text' });
};
const flag: Check = (value, path, faults) => {
  if (typeof value !== 'boolean') faults.push({ path, reason: 'must be true or false' });
};
const whole: Check = (value, path, faults) => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
    faults.push({ path, reason: 'must be a whole number' });
};
const flagOrNumber: Check = (value, path, faults) => {
  if (typeof value !== 'boolean') whole(value, path, faults);
};
const oneOf =
  (...allowed: readonly string[]): Check =>
  (value, path, faults) => {
    if (typeof value !== 'string' || !allowed.includes(value))
      faults.push({ path, reason: `must be one of ${allowed.join(', ')}` });
  };
const list =
  (item: Check): Check =>
  (value, path, faults) => {
    if (!Array.isArray(value)) faults.push({ path, reason: 'must be a list' });
    else value.forEach((one, index) => item(one, `${path}[${index}]`, faults));
  };

/** An object with these keys and no other; those that end in `?` may be absent. */
const object =
  (keys: Readonly<Record<string, Check>>): Check =>
  (value, path, faults) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      faults.push({ path, reason: 'must be an object' });
      return;
    }
    const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
    const present = value as Record<string, unknown>;
    for (const key of Object.keys(present)) {
      if (!(key in keys) && !(`${key}?` in keys)) faults.push({ path: at(key), reason: 'unknown key' });
    }
    for (const [name, check] of Object.entries(keys)) {
      const optional = name.endsWith('?');
      const key = optional ? name.slice(0, -1) : name;
      if (present[key] !== undefined) check(present[key], at(key), faults);
      else if (!optional) faults.push({ path: at(key), reason: 'missing' });
    }
  };

const FAMILIES = ['ipv4-unicast', 'ipv6-unicast'];

const peer = object({
  name: text,
  address: text,
  'localAddress?': text,
  'port?': whole,
  asn: whole,
  'passive?': flag,
  'multihop?': flagOrNumber,
  'routeReflectorClient?': flag,
  'password?': text,
  'ttlSecurity?': flagOrNumber,
  'families?': list(oneOf(...FAMILIES)),
  'addPath?': oneOf('receive', 'send', 'both'),
  'gracefulRestart?': object({ restartTime: whole }),
  'bfd?': object({ interval: whole, multiplier: whole }),
});

const root = object({
  asn: whole,
  routerId: text,
  listen: list(object({ address: text, port: whole })),
  'holdTime?': whole,
  'clusterId?': text,
  peers: list(peer),
});

/** Judges a parsed configuration: the options of the speaker, or its faults. */
export function parseConfig(
  value: unknown,
): { readonly options: SpeakerOptions } | { readonly faults: readonly Fault[] } {
  const faults: Fault[] = [];
  root(value, '', faults);
  if (faults.length > 0) return { faults };
  const config = value as SpeakerOptions & { readonly peers: readonly PeerOptions[] };
  return {
    options: {
      ...config,
      holdTime: config.holdTime ?? 90,
      peers: config.peers.map((peer) => ({
        ...peer,
        // Everything is imported: a peer whose paths do not begin with its AS is its own affair here.
        enforceFirstAs: false,
      })),
    },
  };
}
