/**
 * One prefix around all isolated pods of a direction: comparing addresses costs a packet a tenth of a set, so whoever is not even
 * near is passed at once. It follows blocks of addresses, not pods, so that it seldom changes.
 */
import { parseAddress } from '../../net/address.ts';
import { commonPrefix, formatPrefix, maskAddress } from '../../net/prefix.ts';
import type { Prefix } from '../../net/prefix.ts';

/** Bits of a block: what a node commonly gets of the pods' range. */
const BLOCK = { 4: 24, 6: 64 } as const;

/** The addresses that a cover is around. */
export interface Cover {
  /** Canonical text; absent while there is no address, or while they have no bit in common. */
  readonly prefix: string | undefined;
  add(address: string): void;
  remove(address: string): void;
}

/** Around nothing. */
export function createCover(): Cover {
  const blocks = new Map<string, { readonly block: Prefix; addresses: number }>();
  let prefix: string | undefined;
  const blockOf = (text: string): Prefix => {
    const address = parseAddress(text);
    return maskAddress(address, BLOCK[address.family]);
  };
  const renew = (): void => {
    const [first, ...others] = [...blocks.values()].map(({ block }) => block);
    const around = first === undefined ? undefined : others.reduce(commonPrefix, first);
    prefix = around === undefined || around.length === 0 ? undefined : formatPrefix(around);
  };
  return {
    get prefix() {
      return prefix;
    },
    add(address) {
      const block = blockOf(address);
      const key = formatPrefix(block);
      const known = blocks.get(key);
      if (known !== undefined) known.addresses++;
      else {
        blocks.set(key, { block, addresses: 1 });
        renew();
      }
    },
    remove(address) {
      const key = formatPrefix(blockOf(address));
      const known = blocks.get(key);
      if (known === undefined || --known.addresses > 0) return;
      blocks.delete(key);
      renew();
    },
  };
}
