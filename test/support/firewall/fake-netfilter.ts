/**
 * A machine with ipset and iptables made of plain maps: it takes the very text that our target sends, answers what the tools
 * would print, and judges packets by interpreting the rules word by word. It knows nothing of how rules are made.
 * It can break on demand: before the n-th command, in the midst of a set batch, or after a command took effect.
 */
import { SdkError } from '../../../src/net/index.ts';
import type { Command, CommandResult, Runner } from '../../../src/kernel/index.ts';
import { inside, matchesNet, address } from './packet.ts';
import type { Packet } from './packet.ts';

interface FakeSet {
  readonly type: string;
  readonly family: string;
  readonly maxelem: number;
  members: Map<string, boolean>;
}

type Table = Map<string, string[][]>;

/** How a command is to break: not run at all, half done, or done but reported as failed. */
export type Fault = 'before' | 'half' | 'after';

/** The machine. */
export interface FakeNetfilter {
  readonly runner: Runner;
  /** Every command that was run, as `file args`. */
  readonly commands: string[];
  readonly sets: Map<string, FakeSet>;
  readonly tables: Readonly<Record<4 | 6, Table>>;
  /** Whether the packet passes. */
  passes(packet: Packet): boolean;
  /** Breaks the n-th writing command from now, counting from 0. */
  breakAt(index: number, fault: Fault): void;
  /** Called after each line of a set batch, as the kernel knows no more of one, and after each writing command, whatever became of it. */
  onChange: () => void;
}

/** Splits a rule as a shell would, quotes included. */
export function words(text: string): string[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '');
}

function failed(command: Command, stderr: string): SdkError {
  return new SdkError(stderr, { code: 'COMMAND_FAILED', details: { file: command.file, stderr } });
}

function wordsOf(text: string): number[] {
  const parsed = address(text);
  return parsed.family === 4 ? [parsed.value] : [...parsed.words];
}

/** Runs classic BPF over the addresses of a packet; only the instructions that address comparison needs. */
function runFilter(bytecode: string, { source, destination }: Packet): boolean {
  const [count, ...program] = bytecode.split(',');
  if (program.length !== Number(count)) throw new Error(`bytecode of ${program.length} instructions says ${count}`);
  const [from, to] = [wordsOf(source), wordsOf(destination)];
  const base = from.length === 1 ? 12 : 8;
  const load = (offset: number): number => {
    const index = (offset - base) / 4;
    const value = index < from.length ? from[index] : to[index - from.length];
    if (value === undefined) throw new Error(`load beyond the addresses: ${offset}`);
    return value >>> 0;
  };
  let a = 0;
  let x = 0;
  for (let at = 0; at < program.length; at++) {
    const [code, yes, no, k] = program[at]!.split(' ').map(Number) as [number, number, number, number];
    if (code === 32) a = load(k);
    else if (code === 7) x = a;
    else if (code === 29) at += a === x ? yes : no;
    else if (code === 6) return k !== 0;
    else throw new Error(`instruction ${code}`);
  }
  throw new Error('bytecode without a return');
}

/** An empty machine. */
export function createFakeNetfilter(): FakeNetfilter {
  const sets = new Map<string, FakeSet>();
  const fresh = (): Table => new Map(['INPUT', 'FORWARD', 'OUTPUT'].map((hook) => [hook, []]));
  const tables = { 4: fresh(), 6: fresh() };
  const commands: string[] = [];
  let fault: { index: number; kind: Fault } | undefined;

  const inSet = (name: string, directions: string, packet: Packet): boolean => {
    const set = sets.get(name);
    if (set === undefined) throw new Error(`rule names a set that is not there: ${name}`);
    const text = directions.startsWith('src') ? packet.source : packet.destination;
    if (set.type === 'hash:ip') return set.members.has(text);
    if (set.type === 'hash:net') return matchesNet(set.members, text);
    if (directions !== 'dst,dst') throw new Error(`directions ${directions}`);
    return set.members.has(`${text},${packet.protocol}:${packet.port}`);
  };
  const matches = (rule: readonly string[], packet: Packet): { verdict?: string; goto: boolean } | undefined => {
    let not = false;
    let ok = true;
    const test = (result: boolean): void => {
      if (result === not) ok = false;
      not = false;
    };
    for (let at = 0; at < rule.length && ok; at++) {
      const word = rule[at]!;
      const value = (): string => rule[++at] ?? '';
      if (word === '!') not = true;
      else if (word === '-s') test(inside(value(), packet.source));
      else if (word === '-d') test(inside(value(), packet.destination));
      else if (word === '-p') test(packet.protocol === value());
      else if (word === '-m' || word === '--comment' || word === '--limit' || word === '--limit-burst') value();
      else if (word === '--ctstate') test(value().split(',').includes(packet.state));
      else if (word === '--match-set') test(inSet(value(), value(), packet));
      else if (word === '--src-type') test(value() === 'LOCAL' && packet.local.has(packet.source));
      else if (word === '--dst-type') test(value() === 'LOCAL' && packet.local.has(packet.destination));
      else if (word === '--icmpv6-type') test(packet.type === Number(value()));
      else if (word === '--bytecode') test(runFilter(value(), packet));
      else if (word === '--dport' || word === '--dports') {
        const inRange = value()
          .split(',')
          .some((range) => {
            const [first = 0, last = first] = range.split(':').map(Number);
            return packet.port >= first && packet.port <= last;
          });
        test(inRange);
      } else if (word === '-j' || word === '-g') return { verdict: value(), goto: word === '-g' };
      else throw new Error(`word ${word} in ${rule.join(' ')}`);
    }
    return ok ? { goto: false } : undefined;
  };
  const walk = (table: Table, chain: string, packet: Packet): 'ACCEPT' | 'DROP' | 'RETURN' => {
    const rules = table.get(chain);
    if (rules === undefined) throw new Error(`jump to a chain that is not there: ${chain}`);
    for (const rule of rules) {
      const found = matches(rule, packet);
      if (found?.verdict === undefined || found.verdict === 'NFLOG') continue;
      if (found.verdict === 'RETURN') return 'RETURN';
      if (found.verdict === 'ACCEPT') return 'ACCEPT';
      if (found.verdict === 'DROP' || found.verdict === 'REJECT') return 'DROP';
      const result = walk(table, found.verdict, packet);
      if (result !== 'RETURN' || found.goto) return result;
    }
    return 'RETURN';
  };

  const setLine = (command: Command, line: string): void => {
    const [verb, name = '', ...rest] = line.split(' ');
    const set = sets.get(name);
    const mustExist = (): FakeSet => {
      if (set === undefined) throw failed(command, `The set with the given name does not exist: ${line}`);
      return set;
    };
    if (verb === 'create') {
      const option = (key: string): string => rest[rest.indexOf(key) + 1] ?? '';
      if (name.length > 31) throw failed(command, `setname '${name}' is longer than 31 characters`);
      if (set !== undefined && (set.type !== rest[0] || set.family !== option('family'))) {
        throw failed(command, 'Set cannot be created: set with the same name already exists');
      }
      if (set === undefined) {
        const maxelem = Number(option('maxelem'));
        sets.set(name, { type: rest[0] ?? '', family: option('family'), maxelem, members: new Map() });
      }
    } else if (verb === 'add') {
      const { members, maxelem, family, type } = mustExist();
      const member = rest[0] ?? '';
      if (
        member.includes(':', member.indexOf(',') < 0 ? 0 : undefined) !== (family === 'inet6') &&
        type !== 'hash:ip,port'
      ) {
        throw failed(command, `Syntax error: cannot parse ${member}: resolving to ${family} failed`);
      }
      if (type === 'hash:net' && member.endsWith('/0')) throw failed(command, 'Cidr 0 is not supported');
      if (!members.has(member) && members.size >= maxelem)
        throw failed(command, 'Hash is full, cannot add more elements');
      members.set(member, rest[1] === 'nomatch');
    } else if (verb === 'del') mustExist().members.delete(rest[0] ?? '');
    else if (verb === 'swap') {
      const other = sets.get(rest[0] ?? '');
      if (other === undefined) throw failed(command, 'The set with the given name does not exist');
      sets.set(name, other).set(rest[0] ?? '', mustExist());
    } else if (verb === 'destroy') {
      mustExist();
      const used = [tables[4], tables[6]].some((table) =>
        [...table.values()].some((rules) => rules.some((rule) => rule.includes(name))),
      );
      if (used) throw failed(command, `Set cannot be destroyed: it is in use by a kernel component: ${name}`);
      sets.delete(name);
    } else throw failed(command, `Unknown command ${line}`);
  };
  const restoreSets = (command: Command, half: boolean): void => {
    const lines = (command.input ?? '').split('\n').filter((line) => line !== '');
    const end = half ? Math.floor(lines.length / 2) : lines.length;
    for (const line of lines.slice(0, end)) {
      setLine(command, line);
      machine.onChange();
    }
    if (half) throw failed(command, `Error in line ${end + 1}`);
  };
  const restoreChains = (command: Command, family: 4 | 6): void => {
    const table: Table = new Map([...tables[family]].map(([name, rules]) => [name, [...rules]]));
    const at = (name: string): string[][] => {
      const rules = table.get(name);
      if (rules === undefined) throw failed(command, `No chain/target/match by that name: ${name}`);
      return rules;
    };
    for (const line of (command.input ?? '').split('\n')) {
      if (line.startsWith(':')) {
        const name = line.slice(1).split(' ')[0] ?? '';
        if (name.length > 28) throw failed(command, `chain name ${name} too long`);
        table.set(name, []);
      }
      const [verb, chain = '', ...rest] = words(line);
      if (verb === '-A') at(chain).push(rest);
      else if (verb === '-I') at(chain).splice(Number(rest[0]) - 1, 0, rest.slice(1));
      else if (verb === '-D') {
        const rules = at(chain);
        const index = rules.findIndex((rule) => rule.join(' ') === rest.join(' '));
        if (index < 0) throw failed(command, `Bad rule: ${line}`);
        rules.splice(index, 1);
      } else if (verb === '-X') {
        if (at(chain).length > 0) throw failed(command, `Directory not empty: ${chain}`);
        if ([...table.values()].some((rules) => rules.some((rule) => rule.includes(chain)))) {
          throw failed(command, `Too many links: ${chain}`);
        }
        table.delete(chain);
      }
    }
    for (const rules of table.values()) {
      for (const rule of rules) {
        const target = Math.max(rule.indexOf('-j'), rule.indexOf('-g'));
        const name = rule[target + 1] ?? '';
        const builtin = ['RETURN', 'ACCEPT', 'DROP', 'REJECT', 'NFLOG'].includes(name);
        if (!builtin && !table.has(name)) throw failed(command, `Chain '${name}' does not exist`);
        rule.forEach((word, index) => {
          if (word === '--match-set' && !sets.has(rule[index + 1] ?? '')) {
            throw failed(command, `Set ${rule[index + 1]} doesn't exist.`);
          }
        });
      }
    }
    tables[family].clear();
    for (const [name, rules] of table) tables[family].set(name, rules);
  };
  const quote = (word: string): string => (/^[\w-]+$/.test(word) ? word : `"${word}"`);
  const print = (rule: readonly string[]): string =>
    rule
      .map((word, index) => {
        const before = rule[index - 1] ?? '';
        const text = ['--comment', '--nflog-prefix', '--bytecode'].includes(before);
        return text ? (before === '--nflog-prefix' || before === '--bytecode' ? `"${word}"` : quote(word)) : word;
      })
      .join(' ');
  const saveChains = (family: 4 | 6): string => {
    const lines = ['*filter'];
    for (const name of tables[family].keys()) lines.push(`:${name} - [0:0]`);
    for (const [name, rules] of tables[family]) for (const rule of rules) lines.push(`-A ${name} ${print(rule)}`);
    return [...lines, 'COMMIT', ''].join('\n');
  };
  const saveSets = (): string => {
    let text = '';
    for (const [name, { type, family, maxelem, members }] of sets) {
      text += `create ${name} ${type} family ${family} hashsize 1024 maxelem ${maxelem} bucketsize 12 initval 0x1\n`;
      for (const [member, except] of members) text += `add ${name} ${member}${except ? ' nomatch' : ''}\n`;
    }
    return text;
  };

  const execute = (command: Command, half: boolean): string => {
    const family = command.file.startsWith('ip6') ? 6 : 4;
    if (command.file === 'ipset') {
      if (command.args[0] === 'save') return saveSets();
      restoreSets(command, half);
      return '';
    }
    if (command.file.endsWith('-save')) return saveChains(family);
    if (half) throw failed(command, 'iptables-restore: line 3 failed');
    restoreChains(command, family);
    return '';
  };

  const machine: FakeNetfilter = {
    commands,
    sets,
    tables,
    onChange: () => undefined,
    breakAt(index, kind) {
      fault = { index, kind };
    },
    passes(packet) {
      const family = packet.source.includes(':') ? 6 : 4;
      return walk(tables[family], packet.hook, packet) !== 'DROP';
    },
    runner: {
      run: async (command): Promise<CommandResult> => {
        commands.push([command.file, ...command.args].join(' '));
        const result = (stdout: string): CommandResult => ({ exitCode: 0, stdout, stderr: '', durationMs: 0 });
        if (command.file === 'nft') return { ...result(''), exitCode: 1 };
        const writes = command.input !== undefined;
        let kind: Fault | undefined;
        if (writes && fault !== undefined && fault.index-- === 0) {
          kind = fault.kind;
          fault = undefined;
        }
        try {
          if (kind === 'before') throw failed(command, 'Resource temporarily unavailable');
          const stdout = execute(command, kind === 'half');
          if (kind === 'after') throw failed(command, 'killed');
          return result(stdout);
        } finally {
          if (writes) machine.onChange();
        }
      },
    },
  };
  return machine;
}
