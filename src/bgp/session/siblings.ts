/**
 * Which other addresses the interface of a session has. A node has an address for each VIP, so reading them all costs milliseconds, and
 * sessions come up in crowds: an answer is good for a moment.
 */
import { networkInterfaces } from 'node:os';
import { formatAddress, isAddress, parseAddress, unmapAddress } from '../../net/index.ts';
import type { Transport } from './transport.ts';

/** Milliseconds that an answer is good for. */
const GOOD_FOR_MS = 1000;

/** The canonical text of an address without its zone, IPv4 in IPv6 as IPv4. */
export function plain(address: string | undefined): string {
  const text = (address ?? '').replace(/%.*$/, '');
  return isAddress(text) ? formatAddress(unmapAddress(parseAddress(text))) : text;
}

type Found = ReturnType<Transport['siblings']>;

/** Makes the part of a transport that knows them; both arguments are for tests. */
export function createSiblings(
  read: () => NodeJS.Dict<readonly { readonly address: string }[]> = networkInterfaces,
  now: () => number = () => performance.now(),
): Transport['siblings'] {
  const answers = new Map<string, { readonly at: number; readonly found: Found }>();

  const look = (address: string): Found | undefined => {
    for (const list of Object.values(read())) {
      const own = (list ?? []).map((one) => plain(one.address));
      if (!own.includes(address)) continue;
      const ipv4 = own.find((text) => !text.includes(':'));
      const ipv6 = own.find((text) => text.includes(':') && !text.startsWith('fe8'));
      const linkLocal = own.find((text) => text.startsWith('fe8'));
      return {
        ...(ipv4 === undefined ? {} : { ipv4 }),
        ...(ipv6 === undefined ? {} : { ipv6 }),
        ...(linkLocal === undefined ? {} : { linkLocal }),
      };
    }
    return undefined;
  };

  return (address) => {
    const known = answers.get(address);
    if (known !== undefined && now() - known.at < GOOD_FOR_MS) return known.found;
    const found = look(address);
    if (found !== undefined) answers.set(address, { at: now(), found });
    return found ?? {};
  };
}
