/**
 * Runs blocks of documentation: those of `run` as processes of this machine, those of `guest` and `lab` as one script in a guest
 * kernel, which tells the blocks apart by marker lines. Stands on doc-blocks.ts.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runGuest } from '../../examples/lab/guest.ts';
import { folderOf, inCheckout, root } from './doc-blocks.ts';
import type { Block } from './doc-blocks.ts';

/** What a block did. */
export interface Outcome {
  readonly code: number;
  /** Standard output and error together, as a reader sees them. */
  readonly output: string;
}

const node = join(root, 'node_modules/node/bin/node');
const nodeFolder = dirname(node);

/** A folder inside the checkout, so that programs in it find the package by its name. Removed by `close`. */
export interface DocFolder {
  readonly path: string;
  /** Writes a page's files and programs; gives the shell text that runs a block of it. */
  command(block: Block): string;
  close(): void;
}

/** Makes a {@link DocFolder} with the files of these blocks. */
export function createDocFolder(blocks: readonly Block[]): DocFolder {
  const path = join(root, '.cache', `docs-${process.pid}-${Math.random().toString(36).slice(2, 7)}`);
  mkdirSync(join(path, 'bin'), { recursive: true });
  const script = (name: string, text: string): void => {
    writeFileSync(join(path, 'bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  };
  script('node', `exec ${node} "$@"`);
  script('kube-router-agent', `exec ${node} ${root}/examples/agent/dist/main.js "$@"`);
  for (const { page, place, file, code } of blocks) {
    const folder = join(path, folderOf(page));
    mkdirSync(folder, { recursive: true });
    if (place === 'file' && file !== undefined) writeFileSync(join(folder, file), `${code}\n`);
  }
  return {
    path,
    command({ page, name, language, code, place }) {
      const folder = join(path, folderOf(page));
      const file = join(
        folder,
        `${name.split(':')[1] ?? ''}.${language === 'sh' ? 'sh' : language === 'js' ? 'mjs' : 'ts'}`,
      );
      writeFileSync(file, `${code}\n`);
      // a command that fails anywhere, in a pipe too, fails the block
      const run =
        language === 'sh'
          ? `timeout -k 5 ${BLOCK_SECONDS} bash -eo pipefail ${file}`
          : `node --disable-warning=ExperimentalWarning ${file}`;
      // the lab is started in a checkout, so what is typed there is typed in it
      return `cd ${place === 'lab' || inCheckout(page) ? root : folder} && PATH=${path}/bin:$PATH:/usr/sbin:/sbin ${run}`;
    },
    close() {
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** Runs a block here. */
export function runHere(folder: DocFolder, block: Block): Promise<Outcome> {
  return new Promise((resolve) => {
    const env = {
      ...process.env,
      PATH: `${nodeFolder}:${process.env['PATH'] ?? ''}`,
      NO_COLOR: '1',
      LC_ALL: 'C.UTF-8',
    };
    execFile('sh', ['-c', `{ ${folder.command(block)}\n} 2>&1`], { env, timeout: 120_000 }, (error, stdout) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 124;
      resolve({ code, output: stdout });
    });
  });
}

/** Longest time of one block of shell; those of the lab wait for sessions and hold times. */
const BLOCK_SECONDS = 150;

const BEGIN = '--- block ';
const END = '--- ended ';

/** Cuts a transcript into outcomes by block. */
export function readTranscript(text: string): Map<number, Outcome> {
  const found = new Map<number, Outcome>();
  for (const part of text.split(BEGIN).slice(1)) {
    const match = /^(\d+) ---\n([\s\S]*?)--- ended (\d+) ---/.exec(part);
    if (match !== null) found.set(Number(match[1]), { code: Number(match[3]), output: match[2] ?? '' });
  }
  return found;
}

/** Runs blocks in one guest kernel, in their order; `lab` builds the lab's cluster first. */
export async function runInGuest(
  folder: DocFolder,
  blocks: readonly Block[],
  place: 'guest' | 'lab',
  timeoutMs: number,
): Promise<{ readonly outcomes: ReadonlyMap<number, Outcome>; readonly transcript: string }> {
  const one = (index: number): string =>
    `echo '${BEGIN}${index} ---'; ( ${folder.command(blocks[index]!)}\n) </dev/null 2>&1; echo; echo "${END}$? ---"`
      .replace('; echo; echo "', '; code=$?; echo "')
      .replace('$? ---"', '$code ---"');
  const order = blocks.map((_, index) => index);
  const script = join(folder.path, `${place}.sh`);
  if (place === 'lab') writeFileSync(script, order.map(one).join('\n'));
  else {
    const fresh =
      'mkdir -p /run/netns /run/routers; mount -t tmpfs page /run/netns; mount -t tmpfs page /run/routers\n';
    const pageNames = [...new Set(blocks.map(({ page }) => page))];
    const calls = pageNames.map((name, number) => {
      const indexes = order.filter((index) => blocks[index]!.page === name);
      const page = join(folder.path, `page-${number}.sh`);
      writeFileSync(page, `${fresh}ip link set lo up\n${indexes.map(one).join('\n')}\n`);
      // a network, a process table and a time limit a page: what it leaves running ends with it, and no page waits for another
      return `timeout -k 5 180 unshare --net --mount --pid --fork --mount-proc --kill-child sh ${page}`;
    });
    writeFileSync(script, `modprobe -a ip_vs dummy 2>/dev/null\n${calls.join('\n')}\n`);
  }
  const env = 'NO_COLOR=1 LC_ALL=C.UTF-8 HOME=/root';
  let transcript = '';
  await runGuest({
    command:
      place === 'lab'
        ? `umask 022; env ${env} ${node} examples/lab/interactive.ts <${script}`
        : `umask 022; env ${env} sh ${script}`,
    cwd: root,
    memoryMb: place === 'lab' ? 3072 : 1024,
    timeoutMs,
    stdio: 'pipe',
    onOutput: (text) => {
      transcript += text;
    },
  });
  return { outcomes: readTranscript(transcript), transcript };
}
