/**
 * The API in trouble, the built agent on a node: frozen, gone for ten minutes, back with older resourceVersions, 410 to
 * everything. Nothing is pruned meanwhile, and each time a change made afterwards arrives by itself.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { applyObjects, createAgentNetns, until, webPolicy, type AgentNetns } from '../support/agent-netns.ts';

/** Seconds that the API is gone. */
const OUTAGE_S = Number(process.env['OUTAGE_SECONDS'] ?? 600);

let node: AgentNetns;

/** Looks at the rules all the time while something goes wrong, and says which looks differed from what held before. */
async function unchangedDuring(work: () => Promise<void>): Promise<number> {
  const before = node.rules();
  let looks = 0;
  let over = false;
  const watching = (async () => {
    while (!over) {
      expect(node.rules()).toBe(before);
      looks++;
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
  })();
  try {
    await work();
  } finally {
    over = true;
    await watching;
  }
  return looks;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
/** A change after the trouble is in the kernel without anybody's help. */
const arrives = async (port: number): Promise<void> => {
  node.server.apply(webPolicy(port));
  await until(`the rule for ${port}`, () => node.rules().includes(`--dport ${port}`), 120_000);
};

beforeAll(async () => {
  node = await createAgentNetns();
  applyObjects(node.server, node.own);
  node.start();
  await node.ready();
  expect(node.rules()).toContain('--dport 8080');
}, 120_000);
afterAll(() => node.close(), 60_000);

describe('the API', () => {
  test('frozen for a minute', async () => {
    node.server.setFrozen(true);
    const looks = await unchangedDuring(() => sleep(60_000));
    expect(looks).toBeGreaterThan(20);
    node.server.setFrozen(false);
    await arrives(8081);
  }, 240_000);

  test(
    `gone for ${OUTAGE_S} s`,
    async () => {
      await node.server.close();
      await unchangedDuring(() => sleep(OUTAGE_S * 1000));
      await node.openApi();
      applyObjects(node.server, node.own);
      // What the API has now is what counts: the policy as it was first applied.
      await until('the policy of the new API', () => node.rules().includes('--dport 8080'), 120_000);
      await arrives(8082);
    },
    OUTAGE_S * 1000 + 300_000,
  );

  test('back from a backup, with older resourceVersions', async () => {
    const backup = node.server.backup();
    for (let i = 0; i < 50; i++)
      node.server.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: `later-${i}` } });
    await arrives(8083);
    await node.server.close();
    await node.openApi();
    node.server.restore(backup);
    await until('the policy of the backup', () => node.rules().includes('--dport 8082'), 120_000);
    await arrives(8084);
  }, 300_000);

  test('410 to everything', async () => {
    const heal = node.server.inject({ type: 'status', code: 410, reason: 'Expired' });
    node.server.compact();
    node.server.dropConnections();
    await unchangedDuring(() => sleep(20_000));
    heal();
    await arrives(8085);
  }, 240_000);

  test('an empty answer of a server that is still loading is not believed while others fail', async () => {
    const heal = node.server.inject(
      { type: 'status', code: 503 },
      { match: ({ resource }) => resource !== 'namespaces' },
    );
    await unchangedDuring(() => sleep(10_000));
    heal();
    await arrives(8086);
  }, 240_000);

  test('the agent said what was wrong and is the same process', () => {
    expect(node.agent?.exitCode).toBeNull();
    expect(node.get(20244, '/healthz')).toBe('OK\n');
  });
});
