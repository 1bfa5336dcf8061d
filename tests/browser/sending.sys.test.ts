/** CLIENT §4, cases 1–4, 6, 9: what a person sends is there at once, once, in order, and kept. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Page } from 'playwright-core';
import { Company, type Person } from './company.ts';
import {
  areSettled,
  closeDesk,
  comeOnline,
  composer,
  openListed,
  openWith,
  ready,
  send,
  SETTLED,
  signIn,
  texts,
  trespasses,
  until,
} from './person.ts';
import { within } from '../within.ts';

describe('sending in a browser', () => {
  const company = new Company();
  let ana: Person;
  let bo: Person;

  before(async () => {
    await company.start();
    [ana, bo] = await Promise.all([company.join('ana', 'Ana Ruiz'), company.join('bo', 'Bo Lind')]);
    await openWith(ana.page, bo.username);
    await openWith(bo.page, ana.username);
  });

  after(() => company.stop());

  it('an own row stands within 50 ms and its commit moves the tick in the same node (case 1)', async () => {
    const took: number[] = [];
    for (let i = 0; i < 5; i++) took.push(await timeOfEcho(ana.page, `fast ${i}`));
    assert.ok((took.toSorted((a, b) => a - b)[2] ?? 0) < 50, `took ${took.join(', ')} ms`);
    await until(ana.page, (rows) => rows.length === 5 && areSettled(rows));
    const kept = await ana.page.evaluate(() => {
      const noted = (window as unknown as { noted: { row: HTMLElement; height: number }[] }).noted;
      return noted.map(({ row, height }) => row.isConnected && row.offsetHeight === height);
    });
    assert.deepEqual(kept, [true, true, true, true, true]);
  });

  it('a commit leaves focus and selection where they are (S3)', async () => {
    ana.desk.proxy.cut();
    await send(ana.page, 'chosen while it waits');
    await until(ana.page, (rows) => rows.at(-1)?.state === 'SENDING');
    await ana.page.evaluate(() => {
      const row = [...document.querySelectorAll<HTMLElement>('.row.mine')].at(-1);
      const words = row?.querySelector('.text')?.firstChild;
      if (row === undefined || words === undefined || words === null) throw new Error('no row');
      row.focus();
      getSelection()?.setBaseAndExtent(words, 0, words, 'chosen'.length);
      (window as unknown as { chosen: HTMLElement }).chosen = row;
    });
    await comeOnline(ana.desk);
    await until(ana.page, (rows) => areSettled(rows) && rows.at(-1)?.state === 'READ');
    const kept = await ana.page.evaluate(() => {
      const { chosen } = window as unknown as { chosen: HTMLElement };
      return { hasFocus: document.activeElement === chosen, selected: String(getSelection()) };
    });
    assert.deepEqual(kept, { hasFocus: true, selected: 'chosen' });
  });

  it('the other reads it live; sent, delivered and read show in order (R021)', async () => {
    await until(bo.page, (rows) => rows.length === 6);
    await bo.page.bringToFront();
    await until(ana.page, (rows) => rows.every((row) => row.state === 'READ'), {
      what: 'not all read',
    });
  });

  it('a double click on Send sends once, everywhere (case 2)', async () => {
    await composer(ana.page).fill('only once');
    await ana.page.getByRole('button', { name: 'Send' }).dblclick();
    await until(ana.page, (rows) => rows.length === 7 && areSettled(rows));
    await until(bo.page, (rows) => rows.length === 7);
    assert.equal((await texts(bo.page)).filter((text) => text === 'only once').length, 1);
  });

  it('two who send 20 each at once, and a fresh device, see one order (case 3)', async () => {
    const burst = async (page: Page, who: string): Promise<void> => {
      for (let i = 0; i < 20; i++) await send(page, `${who} ${i}`);
    };
    await Promise.all([burst(ana.page, 'ana'), burst(bo.page, 'bo')]);
    const isWhole = (rows: { text: string; sequence: number }[]): boolean =>
      rows.filter((row) => /^(ana|bo) \d+$/.test(row.text) && row.sequence > 0).length === 40;
    const [one, two] = await Promise.all([until(ana.page, isWhole), until(bo.page, isWhole)]);
    const fresh = await company.newDesk();
    const freshPage = await signIn(fresh, ana.username);
    await openListed(freshPage, 'Bo Lind');
    const three = await until(freshPage, isWhole);
    await closeDesk(fresh);
    const order = one.map((row) => row.text).slice(-40);
    assert.deepEqual(two.map((row) => row.text).slice(-40), order);
    assert.deepEqual(three.map((row) => row.text).slice(-40), order);
    for (const who of ['ana', 'bo']) {
      const own = order.filter((text) => text.startsWith(`${who} `));
      assert.deepEqual(
        own,
        Array.from({ length: 20 }, (_, i) => `${who} ${i}`),
      );
    }
  });

  it('a commit whose answer was lost leaves one row each, ticked within 2 s (case 4)', async () => {
    ana.desk.proxy.deafen();
    await send(ana.page, 'is it there?');
    await until(bo.page, (rows) => rows.at(-1)?.text === 'is it there?');
    ana.desk.proxy.cut();
    await comeOnline(ana.desk);
    await within(2_000, () => until(ana.page, (rows) => SETTLED.has(rows.at(-1)?.state ?? '')));
    for (const page of [ana.page, bo.page])
      assert.equal((await texts(page)).filter((text) => text === 'is it there?').length, 1);
  });

  it('three sent offline stand below the tide mark after a reload, then go in order (case 6)', async () => {
    ana.desk.proxy.cut();
    for (const text of ['off 1', 'off 2', 'off 3']) await send(ana.page, text);
    await ana.page.locator('[data-tide="3"]').waitFor();
    await ana.page.reload();
    await ready(ana.page);
    await until(ana.page, (rows) => rows.slice(-3).every((row) => row.state === 'SENDING'));
    await ana.page.locator('[data-tide="3"]').waitFor();
    assert.deepEqual((await texts(ana.page)).slice(-3), ['off 1', 'off 2', 'off 3']);
    await comeOnline(ana.desk);
    await within(2_000, () =>
      until(ana.page, (rows) => areSettled(rows) && rows.at(-1)?.text === 'off 3'),
    );
    await ana.page.locator('[data-tide]').waitFor({ state: 'detached' });
    await until(bo.page, (rows) => rows.at(-1)?.text === 'off 3');
    assert.deepEqual((await texts(bo.page)).slice(-3), ['off 1', 'off 2', 'off 3']);
  });

  it('a tab killed at Enter leaves the text in the draft or in the outbox, never both or none (case 9)', async () => {
    const found: string[] = [];
    for (const delayMs of [0, 1, 4, 20]) {
      const text = `killed ${found.length}`;
      const page = await ana.desk.context.newPage();
      await page.goto(`/${await ana.page.evaluate(() => location.hash)}`);
      await composer(page).fill(text);
      await page.waitForTimeout(1_200);
      await crashAtEnter(page, delayMs);
      const next = await ana.desk.context.newPage();
      await next.goto(`/${await ana.page.evaluate(() => location.hash)}`);
      await composer(next).waitFor();
      const place = async (): Promise<string> => {
        const draft = (await composer(next).inputValue()) === text ? ['draft'] : [];
        const rows = (await texts(next)).filter((row) => row === text).map(() => 'outbox');
        return [...draft, ...rows].join(' and ');
      };
      for (let i = 0; i < 100 && (await place()) === ''; i++) await next.waitForTimeout(50);
      await next.waitForTimeout(500);
      const where = await place();
      assert.match(where, /^(draft|outbox)$/, `${text}, ${delayMs} ms: ${where}`);
      found.push(where);
      await composer(next).fill('');
      await next.waitForTimeout(500);
      await next.close();
    }
    assert.equal(found.length, 4);
  });

  it('nothing was asked of others and no policy was broken (case 48)', () => {
    assert.deepEqual(trespasses, []);
  });
});

/** From the key press to the row in the page, inside the page. Notes the row for later. */
async function timeOfEcho(page: Page, text: string): Promise<number> {
  await composer(page).fill(text);
  await composer(page).focus();
  await page.evaluate((wanted) => {
    const notes = window as unknown as {
      noted?: { row: HTMLElement; height: number }[];
      took?: number;
    };
    notes.noted ??= [];
    delete notes.took;
    let pressed = 0;
    addEventListener('keydown', () => (pressed = performance.now()), { capture: true, once: true });
    const column = document.querySelector('.column');
    if (column === null) throw new Error('no column');
    new MutationObserver((_, observer) => {
      const row = [...document.querySelectorAll<HTMLElement>('.row.mine')].at(-1);
      if (row === undefined || !row.textContent?.includes(wanted)) return;
      observer.disconnect();
      notes.took = performance.now() - pressed;
      notes.noted?.push({ row, height: row.offsetHeight });
    }).observe(column, { childList: true, subtree: true });
  }, text);
  await page.keyboard.press('Enter');
  const took = await page.waitForFunction(() => (window as unknown as { took?: number }).took);
  return (await took.jsonValue()) ?? Number.POSITIVE_INFINITY;
}

async function crashAtEnter(page: Page, delayMs: number): Promise<void> {
  const devtools = await page.context().newCDPSession(page);
  const crashed = new Promise<void>((done) => page.once('crash', () => done()));
  await page.evaluate(() => {
    document
      .querySelector('.composer textarea')
      ?.dispatchEvent(
        new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }),
      );
  });
  if (delayMs > 0) await new Promise((done) => setTimeout(done, delayMs));
  devtools.send('Page.crash').catch(() => undefined);
  await crashed;
  await page.close();
}
