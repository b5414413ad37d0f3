/**
 * Elements of our sets and what they are made of: addresses, ports and networks in the form that `ipset save` prints. Pure.
 */
import type { Family } from '../../net/values.ts';
import { settleString } from '../../objects/intern.ts';
import { setNameFor } from '../model.ts';
import type { EntryItem } from '../model.ts';

/** An element of one of our sets. */
export function entry(name: string, family: Family, element: string, options = ''): EntryItem {
  const set = setNameFor(name, family);
  return { type: 'entry', key: `entry/${set}/${element}`, set, element: settleString(element), options };
}

/** A network as `ipset save` prints it: a host without its length. */
export function network(cidr: string): string {
  return cidr.replace(cidr.includes(':') ? /\/128$/ : /\/32$/, '');
}
