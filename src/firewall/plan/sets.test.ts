/**
 * The moments inside one batch of set changes, each line of it an instant that packets may meet.
 */
import { expect, test } from 'vitest';
import { createPolicyCompiler } from '../compile/compiler.ts';
import { createIptablesTarget } from '../target/iptables.ts';
import { createFakeNetfilter } from '../../../test/support/firewall/fake-netfilter.ts';
import { labels, pod, policy } from '../../../test/support/firewall/objects.ts';

const ports = [{ name: 'http', protocol: 'TCP' as const, port: 8080 }];

test('a pod that appears in a known class is never without its named port, nor open beyond it', async () => {
  const compiler = createPolicyCompiler({ node: 'n1' });
  const machine = createFakeNetfilter();
  const target = createIptablesTarget({ runner: machine.runner });
  const { signal } = new AbortController();
  const web = (name: string, address: string) => ({
    key: `shop/${name}`,
    object: pod(`shop/${name}`, [address], { app: 'web' }, { ports }),
  });
  const rule = { peers: [], ports: [{ protocol: 'TCP' as const, port: 'http' }] };
  const first = compiler.update({
    pods: [web('one', '10.1.0.1')],
    policies: [{ key: 'shop/p', object: policy('shop/p', labels({ app: 'web' }), { ingress: [rule] }) }],
  });
  const held = await target.apply(target.plan(first.state, await target.observe(signal), { prune: true }), signal);
  const moments: string[] = [];
  machine.onChange = () => {
    const question = (port: number) =>
      machine.passes({
        hook: 'FORWARD',
        source: '192.0.2.1',
        destination: '10.1.0.2',
        protocol: 'tcp',
        port,
        state: 'NEW',
        local: new Set<string>(),
      });
    moments.push(`8080 ${question(8080)}, 22 ${question(22)}`);
  };
  const second = compiler.update({ pods: [web('two', '10.1.0.2')] });
  await target.apply(target.plan(second.state, held.observed!, { prune: true, dirty: second.dirty }), signal);
  // Class, named port, isolation; then the end of the batch.
  expect(moments).toEqual(['8080 true, 22 true', '8080 true, 22 true', '8080 true, 22 false', '8080 true, 22 false']);
});
