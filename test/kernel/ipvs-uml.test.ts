import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { bootUml, runInUml } from '../support/uml.ts';

/** Processes of this machine whose command line has `text`. */
const processesOf = (text: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });

describe('the user-mode Linux rig', () => {
  test('programs IPVS, dummy, ipset and iptables, and reports output, status and files', async () => {
    const result = await bootUml({
      script: `ip link add kube-dummy-if type dummy
ipvsadm -A -t 127.0.0.1:80 -s mh
ipset create krs-set hash:ip
iptables -t nat -A POSTROUTING -m ipvs --ipvs -j MASQUERADE
iptables-save -t nat | grep ipvs
ipvsadm -Sn
cat "$UML_DIR/note" > "$UML_DIR/out/answer"
exit 7`,
      files: { note: 'from the outside' },
    });
    expect(result.stdout).toBe('-A POSTROUTING -m ipvs --ipvs -j MASQUERADE\n-A -t 127.0.0.1:80 -s mh\n');
    expect(result.stderr).toBe('');
    expect(result.exitCode).toBe(7);
    expect(result.files).toEqual({ answer: 'from the outside' });
  });

  test('leaves no file on the machine and no kernel tree under /lib', async () => {
    const had = existsSync('/lib/modules');
    await runInUml({ script: 'touch /tmp/krs-left /var/lib/krs-left /run/krs-left; echo x > /etc/iproute2/krs-left' });
    for (const folder of ['/tmp', '/var/lib', '/run', '/etc/iproute2'])
      expect(existsSync(`${folder}/krs-left`)).toBe(false);
    expect(existsSync('/lib/modules')).toBe(had);
  });

  test('a guest that hangs is killed at its time limit, with what it said', async () => {
    const name = `hang${process.pid}`;
    let seen = 0;
    const boot = bootUml({
      name,
      script: 'echo before; sleep 600',
      timeoutMs: 10_000,
      onConsole: () => (seen = Math.max(seen, processesOf(name).length)),
    });
    await expect(boot).rejects.toThrow(/without an exit status[^]*--- stdout\nbefore/);
    expect(seen).toBeGreaterThan(0);
    expect(processesOf(name)).toEqual([]);
    expect(readdirSync(tmpdir()).filter((entry) => entry.includes(name))).toEqual([]);
  });
});
