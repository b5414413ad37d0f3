/**
 * Capabilities of OPEN: one codec for each, and the unknown ones kept as they came (RFC 5492).
 * A capability that decides how later bytes are read (family, AS width, restart, role) must be well-formed; one that only
 * offers a feature and is malformed is kept as unknown, so that the feature is off and the session lives.
 * Stands on family.ts and bytes.ts; open.ts frames what this file codes.
 */
import { put16, put24, put32, u16, u24, u32 } from './bytes.ts';
import { CapabilityCode } from './constants.ts';
import { familyCodes, familyName } from './family.ts';
import type { AddPathEntry, Capability, ExtendedNextHopEntry, LongLivedEntry, Role } from './types.ts';

const ROLES: readonly Role[] = ['provider', 'rs', 'rs-client', 'customer', 'peer'];
const MODES = [undefined, 'receive', 'send', 'both'] as const;

/** The code of a capability (IANA "Capability Codes"). */
export function capabilityCode(capability: Capability): number {
  switch (capability.type) {
    case 'multiprotocol':
      return CapabilityCode.multiprotocol;
    case 'route-refresh':
      return CapabilityCode.routeRefresh;
    case 'enhanced-route-refresh':
      return CapabilityCode.enhancedRouteRefresh;
    case 'extended-message':
      return CapabilityCode.extendedMessage;
    case 'extended-next-hop':
      return CapabilityCode.extendedNextHop;
    case 'role':
      return CapabilityCode.role;
    case 'graceful-restart':
      return CapabilityCode.gracefulRestart;
    case 'four-octet-as':
      return CapabilityCode.fourOctetAs;
    case 'add-path':
      return CapabilityCode.addPath;
    case 'long-lived-graceful-restart':
      return CapabilityCode.longLivedGracefulRestart;
    case 'fqdn':
      return CapabilityCode.fqdn;
    case 'software-version':
      return CapabilityCode.softwareVersion;
    case 'unknown':
      return capability.code;
  }
}

function octets(length: number, fill: (out: Uint8Array) => void): Uint8Array {
  const out = new Uint8Array(length);
  fill(out);
  return out;
}

function text(value: string, limit: number): Uint8Array {
  const encoded = new TextEncoder().encode(value);
  let length = Math.min(encoded.length, limit);
  while (length > 0 && length < encoded.length && ((encoded[length] ?? 0) & 0xc0) === 0x80) length--;
  return encoded.subarray(0, length);
}

/** The value octets of a capability, without code and length. */
export function encodeCapabilityValue(capability: Capability): Uint8Array {
  switch (capability.type) {
    case 'multiprotocol': {
      const { afi, safi } = familyCodes(capability.family);
      return octets(4, (out) => {
        put16(out, 0, afi);
        out[3] = safi;
      });
    }
    case 'route-refresh':
    case 'enhanced-route-refresh':
    case 'extended-message':
      return new Uint8Array(0);
    case 'extended-next-hop':
      return octets(capability.entries.length * 6, (out) => {
        capability.entries.forEach(({ family, nextHopAfi }, index) => {
          const { afi, safi } = familyCodes(family);
          put16(out, put16(out, put16(out, index * 6, afi), safi), nextHopAfi);
        });
      });
    case 'role':
      return Uint8Array.of(ROLES.indexOf(capability.role));
    case 'graceful-restart':
      return octets(2 + capability.families.length * 4, (out) => {
        const flags = (capability.restarting ? 0x8000 : 0) | (capability.notification ? 0x4000 : 0);
        put16(out, 0, flags | Math.min(capability.restartTime, 0xfff));
        capability.families.forEach(({ family, forwarding }, index) => {
          const { afi, safi } = familyCodes(family);
          const at = put16(out, 2 + index * 4, afi);
          out[at] = safi;
          out[at + 1] = forwarding ? 0x80 : 0;
        });
      });
    case 'four-octet-as':
      return octets(4, (out) => put32(out, 0, capability.asn));
    case 'add-path':
      return octets(capability.entries.length * 4, (out) => {
        capability.entries.forEach(({ family, mode }, index) => {
          const { afi, safi } = familyCodes(family);
          const at = put16(out, index * 4, afi);
          out[at] = safi;
          out[at + 1] = MODES.indexOf(mode);
        });
      });
    case 'long-lived-graceful-restart':
      return octets(capability.entries.length * 7, (out) => {
        capability.entries.forEach(({ family, forwarding, staleTime }, index) => {
          const { afi, safi } = familyCodes(family);
          const at = put16(out, index * 7, afi);
          out[at] = safi;
          out[at + 1] = forwarding ? 0x80 : 0;
          put24(out, at + 2, Math.min(staleTime, 0xffffff));
        });
      });
    case 'fqdn': {
      const host = text(capability.hostName, 64);
      const domain = text(capability.domainName, 64);
      return octets(2 + host.length + domain.length, (out) => {
        out[0] = host.length;
        out.set(host, 1);
        out[1 + host.length] = domain.length;
        out.set(domain, 2 + host.length);
      });
    }
    case 'software-version': {
      const version = text(capability.version, 64);
      return octets(1 + version.length, (out) => {
        out[0] = version.length;
        out.set(version, 1);
      });
    }
    case 'unknown':
      return capability.value;
  }
}

function entries<T>(value: Uint8Array, size: number, read: (at: number) => T | undefined): T[] | undefined {
  if (value.length % size !== 0) return undefined;
  const found: T[] = [];
  for (let at = 0; at < value.length; at += size) {
    const entry = read(at);
    if (entry !== undefined) found.push(entry);
  }
  return found;
}

function counted(value: Uint8Array, at: number): { readonly text: string; readonly next: number } | undefined {
  const length = value[at];
  if (length === undefined || at + 1 + length > value.length) return undefined;
  return { text: new TextDecoder().decode(value.subarray(at + 1, at + 1 + length)), next: at + 1 + length };
}

/** Reads the value of a capability; a text says why the OPEN that carries it is malformed. */
export function decodeCapability(code: number, value: Uint8Array): Capability | string {
  const unknown: Capability = { type: 'unknown', code, value: value.slice() };
  const family = (at: number) => familyName(u16(value, at), value[at + 2] ?? 0);
  switch (code) {
    case CapabilityCode.multiprotocol:
      if (value.length !== 4) return `multiprotocol capability of ${value.length} octets`;
      return { type: 'multiprotocol', family: familyName(u16(value, 0), value[3] ?? 0) };
    case CapabilityCode.routeRefresh:
      return value.length === 0 ? { type: 'route-refresh' } : unknown;
    case CapabilityCode.enhancedRouteRefresh:
      return value.length === 0 ? { type: 'enhanced-route-refresh' } : unknown;
    case CapabilityCode.extendedMessage:
      return value.length === 0 ? { type: 'extended-message' } : unknown;
    case CapabilityCode.extendedNextHop: {
      const found = entries<ExtendedNextHopEntry>(value, 6, (at) => ({
        family: familyName(u16(value, at), u16(value, at + 2)),
        nextHopAfi: u16(value, at + 4),
      }));
      return found === undefined ? unknown : { type: 'extended-next-hop', entries: found };
    }
    case CapabilityCode.role: {
      if (value.length !== 1) return `role capability of ${value.length} octets`;
      const role = ROLES[value[0] ?? 255];
      return role === undefined ? unknown : { type: 'role', role };
    }
    case CapabilityCode.gracefulRestart: {
      if (value.length < 2 || value.length % 4 !== 2) return `graceful restart capability of ${value.length} octets`;
      const head = u16(value, 0);
      const families = [];
      for (let at = 2; at < value.length; at += 4) {
        families.push({ family: family(at), forwarding: ((value[at + 3] ?? 0) & 0x80) !== 0 });
      }
      return {
        type: 'graceful-restart',
        restarting: (head & 0x8000) !== 0,
        notification: (head & 0x4000) !== 0,
        restartTime: head & 0xfff,
        families,
      };
    }
    case CapabilityCode.fourOctetAs:
      if (value.length !== 4) return `four-octet AS capability of ${value.length} octets`;
      return { type: 'four-octet-as', asn: u32(value, 0) };
    case CapabilityCode.addPath: {
      // An entry with another mode is to be ignored, not the capability (RFC 7911 section 4).
      const found = entries<AddPathEntry>(value, 4, (at) => {
        const mode = MODES[value[at + 3] ?? 0];
        return mode === undefined ? undefined : { family: family(at), mode };
      });
      return found === undefined ? unknown : { type: 'add-path', entries: found };
    }
    case CapabilityCode.longLivedGracefulRestart: {
      const found = entries<LongLivedEntry>(value, 7, (at) => ({
        family: family(at),
        forwarding: ((value[at + 3] ?? 0) & 0x80) !== 0,
        staleTime: u24(value, at + 4),
      }));
      return found === undefined ? unknown : { type: 'long-lived-graceful-restart', entries: found };
    }
    case CapabilityCode.fqdn: {
      const host = counted(value, 0);
      const domain = host === undefined ? undefined : counted(value, host.next);
      if (host === undefined || domain?.next !== value.length) return unknown;
      return { type: 'fqdn', hostName: host.text, domainName: domain.text };
    }
    case CapabilityCode.softwareVersion: {
      const version = counted(value, 0);
      return version?.next === value.length ? { type: 'software-version', version: version.text } : unknown;
    }
    default:
      return unknown;
  }
}
