/**
 * A machine with nftables made of plain maps: it takes the transactions that our target sends, all or nothing, answers what
 * `nft -j` would print, and judges packets by interpreting the rules word by word. It knows nothing of how rules are made.
 */
import { SdkError, compareAddresses } from '../../../src/net/index.ts';
import type { Command, CommandResult, Runner } from '../../../src/kernel/index.ts';
import { address, inside } from './packet.ts';
import type { Packet } from './packet.ts';
import { words } from './fake-netfilter.ts';
import type { Fault } from './fake-netfilter.ts';

interface Table {
  readonly sets: Map<string, { readonly type: string; readonly elements: Set<string> }>;
  readonly maps: Map<string, Map<string, string>>;
  readonly chains: Map<string, string[]>;
}

/** The machine. */
export interface FakeNftables {
  readonly runner: Runner;
  readonly commands: string[];
  readonly tables: Map<string, Table>;
  passes(packet: Packet): boolean;
  breakAt(index: number, fault: Fault): void;
  onChange: () => void;
}

const copy = (tables: Map<string, Table>): Map<string, Table> =>
  new Map(
    [...tables].map(([key, { sets, maps, chains }]) => [
      key,
      {
        sets: new Map([...sets].map(([name, { type, elements }]) => [name, { type, elements: new Set(elements) }])),
        maps: new Map([...maps].map(([name, elements]) => [name, new Map(elements)])),
        chains: new Map([...chains].map(([name, rules]) => [name, [...rules]])),
      },
    ]),
  );

function inRange(text: string, element: string): boolean {
  const [first, last = first] = element.split('-') as [string, string?];
  const parsed = address(text);
  return compareAddresses(parsed, address(first)) >= 0 && compareAddresses(parsed, address(last)) <= 0;
}

const HOOKS: Readonly<Record<Packet['hook'], string>> = {
  INPUT: 'KUBE-ROUTER-INPUT',
  FORWARD: 'KUBE-ROUTER-FORWARD',
  OUTPUT: 'KUBE-ROUTER-OUTPUT',
};

/** An empty machine. */
export function createFakeNftables(): FakeNftables {
  let tables = new Map<string, Table>();
  const commands: string[] = [];
  let fault: { index: number; kind: Fault } | undefined;
  const refuse = (line: string, why: string): never => {
    throw new SdkError(`${why}: ${line}`, { code: 'COMMAND_FAILED', details: { line } });
  };

  const apply = (line: string, next: Map<string, Table>): void => {
    const parts = line.split(' ');
    const [verb, what, family, name, item = ''] = parts;
    const key = `${family} ${name}`;
    if (what === 'table') {
      if (verb === 'add') {
        if (!next.has(key)) next.set(key, { sets: new Map(), maps: new Map(), chains: new Map() });
      } else next.delete(key);
      return;
    }
    const table = next.get(key) ?? refuse(line, 'No such table');
    const rest = parts.slice(5).join(' ');
    const list = (): string[] => rest.replace(/^\{ | \}$/g, '').split(', ');
    if (what === 'set' || what === 'map') {
      if (verb === 'add') {
        if (what === 'map') table.maps.set(item, table.maps.get(item) ?? new Map<string, string>());
        else if (!table.sets.has(item)) table.sets.set(item, { type: rest, elements: new Set() });
      } else {
        const used = [...table.chains.values()].some((rules) => rules.some((rule) => words(rule).includes(`@${item}`)));
        if (used) refuse(line, 'Device or resource busy');
        if (!table.sets.delete(item)) refuse(line, 'No such set');
      }
    } else if (what === 'chain') {
      if (verb === 'add') table.chains.set(item, table.chains.get(item) ?? []);
      else if (verb === 'flush') table.chains.set(item, table.chains.has(item) ? [] : refuse(line, 'No such chain'));
      else {
        const referenced =
          [...table.chains.values()].some((rules) => rules.some((rule) => words(rule).includes(item))) ||
          [...table.maps.values()].some((map) => [...map.values()].includes(item));
        if (referenced || (table.chains.get(item)?.length ?? 1) > 0) refuse(line, 'Device or resource busy');
        table.chains.delete(item);
      }
    } else if (what === 'rule') {
      for (const word of words(rest)) {
        const set = word.startsWith('@') ? word.slice(1) : undefined;
        if (set !== undefined && !table.sets.has(set) && !table.maps.has(set)) refuse(line, 'No such set');
      }
      const comment = /comment "([^"]*)"$/.exec(rest)?.[1] ?? '';
      if (comment.length > 127) refuse(line, 'comment too long');
      (table.chains.get(item) ?? refuse(line, 'No such chain')).push(rest);
    } else if (what === 'element') {
      const map = table.maps.get(item);
      const set = table.sets.get(item);
      for (const element of list()) {
        if (map !== undefined) {
          const [at = '', verdict] = element.split(' : ');
          if (verb === 'delete') {
            if (!map.delete(at)) refuse(line, 'No such element');
            continue;
          }
          const chain = verdict?.replace('jump ', '') ?? '';
          if (!table.chains.has(chain)) refuse(line, 'No such chain');
          if (map.has(at) && map.get(at) !== chain) refuse(line, 'File exists');
          map.set(at, chain);
        } else if (set === undefined) refuse(line, 'No such set');
        else if (verb === 'delete') {
          if (!set.elements.delete(element)) refuse(line, 'No such element');
        } else set.elements.add(element);
      }
    }
  };

  const inSet = (table: Table, name: string, value: string): boolean => {
    const set = table.sets.get(name);
    if (set === undefined) throw new Error(`no set ${name}`);
    if (!set.type.includes('interval')) return set.elements.has(value);
    return [...set.elements].some((element) => inRange(value, element));
  };
  const field = (packet: Packet, name: string): string =>
    name === 'saddr'
      ? packet.source
      : name === 'daddr'
        ? packet.destination
        : name === 'l4proto'
          ? packet.protocol
          : String(packet.port);
  const ports = (words: string, port: number): boolean =>
    words
      .replace(/[{}]/g, '')
      .split(',')
      .some((range) => {
        const [first = 0, last = first] = range.trim().split('-').map(Number);
        return port >= first && port <= last;
      });

  /** One rule: `undefined` when it does not match, else what it says. */
  const judge = (rule: string, packet: Packet, table: Table): { verdict: string; chain?: string } | undefined => {
    let text = rule.replace(/ comment "[^"]*"$/, '');
    const take = (pattern: RegExp): RegExpExecArray | undefined => {
      const found = pattern.exec(text);
      if (found === null) return undefined;
      text = text.slice(found[0].length).trimStart();
      return found;
    };
    for (;;) {
      let found: RegExpExecArray | undefined;
      if ((found = take(/^ct state (\S+)/))) {
        if (!found[1]!.split(',').includes(packet.state.toLowerCase())) return undefined;
      } else if ((found = take(/^icmpv6 type 133-137/))) {
        if (packet.type === undefined || packet.type < 133 || packet.type > 137) return undefined;
      } else if ((found = take(/^fib ([sd]addr) type local/))) {
        if (!packet.local.has(field(packet, found[1]!))) return undefined;
      } else if ((found = take(/^ip6? ([sd]addr) vmap @(\S+)/))) {
        const chain = table.maps.get(found[2]!)?.get(field(packet, found[1]!));
        return chain === undefined ? undefined : { verdict: 'jump', chain };
      } else if ((found = take(/^((?:(?:ip6?|meta|th) \w+ \. )+(?:ip6?|meta|th) \w+) @(\S+)/))) {
        const value = found[1]!.split(' . ').map((one) => field(packet, one.split(' ')[1]!));
        if (!inSet(table, found[2]!, value.join(' . '))) return undefined;
      } else if ((found = take(/^ip6? ([sd]addr) (!= )?@(\S+)/))) {
        if (inSet(table, found[3]!, field(packet, found[1]!)) === (found[2] !== undefined)) return undefined;
      } else if ((found = take(/^ip6? ([sd]addr) ([0-9a-f:.]+\/\d+)/))) {
        if (!inside(found[2]!, field(packet, found[1]!))) return undefined;
      } else if ((found = take(/^meta l4proto (\S+)/))) {
        if (packet.protocol !== found[1]) return undefined;
      } else if ((found = take(/^(tcp|udp|sctp) dport (\{[^}]*\}|\S+)/))) {
        if (packet.protocol !== found[1] || !ports(found[2]!, packet.port)) return undefined;
      } else if (take(/^limit rate \S+ burst \d+ packets log prefix "[^"]*" group \d+/)) return undefined;
      else if (take(/^counter/)) continue;
      else if ((found = take(/^(return|accept|drop|reject)$/))) return { verdict: found[1]! };
      else if ((found = take(/^goto (\S+)$/))) return { verdict: 'goto', chain: found[1]! };
      else throw new Error(`cannot read "${text}" of "${rule}"`);
    }
  };
  const walk = (table: Table, chain: string, packet: Packet): 'accept' | 'drop' | 'continue' => {
    for (const rule of table.chains.get(chain) ?? []) {
      const said = judge(rule, packet, table);
      if (said === undefined) continue;
      if (said.verdict === 'return') return 'continue';
      if (said.verdict === 'accept') return 'accept';
      if (said.verdict === 'drop' || said.verdict === 'reject') return 'drop';
      const result = walk(table, said.chain!, packet);
      if (result !== 'continue' || said.verdict === 'goto') return result;
    }
    return 'continue';
  };

  const list = (family: string, name: string): CommandResult => {
    const table = tables.get(`${family} ${name}`);
    const result = (exitCode: number, stdout: string): CommandResult => ({
      exitCode,
      stdout,
      stderr: '',
      durationMs: 0,
    });
    if (table === undefined) return result(1, '');
    const nftables: unknown[] = [{ table: { family, name } }];
    for (const [set, { elements }] of table.sets) {
      const elem = [...elements].map((element) => {
        const [first, last] = element.split('-');
        if (element.includes(' . ')) return { concat: element.split(' . ') };
        return last === undefined ? element : { range: [first, last] };
      });
      nftables.push({ set: { name: set, ...(elem.length > 0 ? { elem } : {}) } });
    }
    for (const [map, elements] of table.maps) {
      const elem = [...elements].map(([at, target]) => [at, { jump: { target } }]);
      nftables.push({ map: { name: map, ...(elem.length > 0 ? { elem } : {}) } });
    }
    for (const chain of table.chains.keys()) nftables.push({ chain: { name: chain } });
    for (const [chain, rules] of table.chains) {
      for (const rule of rules) nftables.push({ rule: { chain, comment: /comment "([^"]*)"$/.exec(rule)?.[1] } });
    }
    return result(0, JSON.stringify({ nftables }));
  };

  const machine: FakeNftables = {
    commands,
    get tables() {
      return tables;
    },
    onChange: () => undefined,
    breakAt(index, kind) {
      fault = { index, kind };
    },
    passes(packet) {
      const six = packet.source.includes(':');
      const table = tables.get(six ? 'ip6 kube-router-filter-ipv6' : 'ip kube-router-filter-ipv4');
      return table === undefined || walk(table, HOOKS[packet.hook], packet) !== 'drop';
    },
    runner: {
      run: async (command: Command): Promise<CommandResult> => {
        commands.push([command.file, ...command.args].join(' '));
        const result = (stdout: string): CommandResult => ({ exitCode: 0, stdout, stderr: '', durationMs: 0 });
        if (command.file !== 'nft') return result('');
        if (command.input === undefined) return list(command.args[3] ?? '', command.args[4] ?? '');
        let kind: Fault | undefined;
        if (fault !== undefined && fault.index-- === 0) {
          kind = fault.kind;
          fault = undefined;
        }
        if (kind === 'before' || kind === 'half') refuse('', 'nft was killed');
        const next = copy(tables);
        for (const line of command.input.split('\n')) if (line !== '') apply(line, next);
        tables = next;
        machine.onChange();
        if (kind === 'after') refuse('', 'nft was killed');
        return result('');
      },
    },
  };
  return machine;
}
