/**
 * Plans as text for `ipset restore` and `iptables-restore --noflush`. Only our own chains are ever declared; a built-in chain is
 * touched by inserting or deleting our jump and by nothing else.
 */
import type { ChainOperations } from '../plan/iptables.ts';
import type { SetOperation } from '../plan/sets.ts';
import { jumpRule } from './iptables.ts';

/** Lines for `ipset restore -exist`; additions of members already there and removals of absent ones are no errors. */
export function renderSets(operations: readonly SetOperation[]): string {
  let text = '';
  for (const operation of operations) {
    switch (operation.op) {
      case 'create': {
        const family = operation.family === 4 ? 'inet' : 'inet6';
        text += `create ${operation.set} hash:${operation.kind} family ${family} maxelem ${operation.maxelem}\n`;
        break;
      }
      case 'add':
        text += `add ${operation.set} ${operation.member}${operation.except ? ' nomatch' : ''}\n`;
        break;
      case 'delete':
        text += `del ${operation.set} ${operation.member}\n`;
        break;
      case 'destroy':
        text += `destroy ${operation.set}\n`;
        break;
    }
  }
  return text;
}

/** One commit of the filter table; empty when there is nothing to do. */
export function renderChains({ put, remove, jumps }: ChainOperations): string {
  if (put.size === 0 && remove.length === 0 && jumps.size === 0) return '';
  const lines = ['*filter'];
  // Declaring a chain under --noflush creates or empties it, so that references among the new chains resolve in any order.
  for (const name of [...put.keys(), ...remove]) lines.push(`:${name} - [0:0]`);
  for (const [name, rules] of put) for (const rule of rules) lines.push(`-A ${name} ${rule}`);
  for (const [hook, present] of jumps) {
    for (let count = Math.abs(present); count > 0; count--) lines.push(`-D ${hook} ${jumpRule(hook)}`);
    if (present >= 0) lines.push(`-I ${hook} 1 ${jumpRule(hook)}`);
  }
  for (const name of remove) lines.push(`-X ${name}`);
  lines.push('COMMIT', '');
  return lines.join('\n');
}
