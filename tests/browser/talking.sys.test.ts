/** Unread counts, edits, deletes, drafts, groups and the status tab, between real people. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Page } from 'playwright-core';
import { deleteMessage, logIn, markUnread, sendMessage } from './api.ts';
import { Company, type Person } from './company.ts';
import {
  areSettled,
  closeDesk,
  comeOnline,
  composer,
  newName,
  openListed,
  openWith,
  ready,
  seen,
  send,
  signIn,
  signUp,
  texts,
  trespasses,
  until,
} from './person.ts';

describe('talking in a browser', () => {
  const company = new Company();
  const { server } = company;
  let ana: Person;
  let bo: Person;

  before(async () => {
    await company.start();
    ana = await company.join('ana', 'Ana Ruiz');
    bo = await company.join('bo', 'Bo Lind');
  });

  after(() => company.stop());

  it('unread is counted in the list and the title, and is none once read', async () => {
    await openWith(ana.page, bo.username);
    await send(ana.page, 'zero');
    await openListed(bo.page, 'Ana Ruiz');
    await until(ana.page, (rows) => rows[0]?.state === 'READ');
    await composer(bo.page).press('Escape');
    for (const text of ['one', 'two', 'three']) await send(ana.page, text);
    const badge = bo.page.locator('.list-row .badge');
    await badge.waitFor();
    await bo.page.waitForFunction(() => document.title === '(3) Parley');
    assert.match((await badge.textContent()) ?? '', /^3/);
    await openListed(bo.page, 'Ana Ruiz');
    await bo.page.locator('.mark-new').waitFor();
    await badge.waitFor({ state: 'detached' });
    await bo.page.waitForFunction(() => document.title === 'Parley');
    await until(ana.page, (rows) => rows.every((row) => row.state === 'READ'));
  });

  it('the unread line stays where it was when the conversation was opened', async () => {
    await send(ana.page, 'four');
    await until(bo.page, (rows) => rows.at(-1)?.text === 'four');
    await send(bo.page, 'five');
    await until(bo.page, (rows) => rows.length === 6 && areSettled(rows));
    const next = await bo.page.evaluate(
      () => document.querySelector('.mark-new')?.nextElementSibling?.textContent ?? '',
    );
    assert.match(next, /one/);
  });

  it('a conversation marked unread elsewhere is read again by opening it, though nothing is new', async () => {
    // Until the last row, an own one, is read too.
    await bo.page.waitForTimeout(1_200);
    await composer(bo.page).press('Escape');
    await markUnread(await logIn(server.url, bo.username), await openId(ana.page));
    const badge = bo.page.locator('.list-row .badge');
    await badge.waitFor();
    await openListed(bo.page, 'Ana Ruiz');
    await badge.waitFor({ state: 'detached' });
  });

  it('a device that holds nothing of it opens at the unread line too, with what follows it', async () => {
    const readerName = newName('reader');
    const desk = await company.newDesk();
    const page = await signUp(desk, readerName, 'Rea Der');
    await openWith(page, ana.username);
    await send(page, 'first of all');
    await until(page, (rows) => rows.length === 1 && areSettled(rows));
    await page.close();
    await closeDesk(desk);
    const reader = await logIn(server.url, readerName);
    const anas = await logIn(server.url, ana.username);
    for (let i = 0; i < 40; i++)
      await sendMessage(anas, `direct:${reader.userId}`, { text: { body: `unread ${i}` } });

    const other = await company.newDesk();
    const fresh = await signIn(other, readerName);
    await openListed(fresh, 'Ana Ruiz');
    await fresh.waitForFunction(() => {
      const line = document.querySelector('.mark-new');
      const top = document.querySelector('.scroll')?.getBoundingClientRect().top ?? 0;
      const isNext = line?.nextElementSibling?.textContent?.includes('unread 0') === true;
      return isNext && line.getBoundingClientRect().top >= top;
    });
    await fresh.locator('.jump').click();
    await until(fresh, (rows) => rows.at(-1)?.text === 'unread 39');
    await closeDesk(other);
    await openListed(ana.page, 'Rea Der');
    await ana.page.locator('.list-row .badge').waitFor({ state: 'detached' });
    await openListed(ana.page, 'Bo Lind');
  });

  it('an edit and a delete of an own message reach the other', async () => {
    await ana.page.locator('.row.mine', { hasText: 'one' }).click({ button: 'right' });
    await ana.page.getByRole('menuitem', { name: 'Edit' }).click();
    await composer(ana.page).fill('one, corrected');
    await ana.page.getByRole('button', { name: 'Save' }).click();
    await until(bo.page, (rows) => rows[1]?.text === 'one, corrected');
    assert.equal(await bo.page.locator('.row .edited').count(), 1);
    await ana.page.locator('.row.mine', { hasText: 'two' }).click({ button: 'right' });
    await ana.page.getByRole('menuitem', { name: 'Delete' }).click();
    await ana.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await until(bo.page, (rows) => rows[2]?.text === 'Message deleted');
    await until(ana.page, (rows) => rows[2]?.text === 'Message deleted');
  });

  it('an edit gives the field back to what was being written', async () => {
    await composer(ana.page).fill('half a thought');
    await ana.page.locator('.row.mine', { hasText: 'three' }).click({ button: 'right' });
    await ana.page.getByRole('menuitem', { name: 'Edit' }).click();
    assert.equal(await composer(ana.page).inputValue(), 'three');
    await composer(ana.page).press('Escape');
    assert.equal(await composer(ana.page).inputValue(), 'half a thought');
  });

  it('what was being written comes back also when a reload or another chat came between', async () => {
    const editThree = async (): Promise<void> => {
      await ana.page.locator('.row.mine', { hasText: 'three' }).click({ button: 'right' });
      await ana.page.getByRole('menuitem', { name: 'Edit' }).click();
    };
    await editThree();
    await ana.page.waitForTimeout(600);
    await ana.page.reload();
    await ready(ana.page);
    await ana.page.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await composer(ana.page).inputValue(), 'half a thought');
    await editThree();
    await composer(ana.page).fill('three, corrected');
    await openListed(ana.page, 'Rea Der');
    await openListed(ana.page, 'Bo Lind');
    await ana.page.getByRole('button', { name: 'Save' }).click();
    assert.equal(await composer(ana.page).inputValue(), 'half a thought');
    await until(bo.page, (rows) => rows[3]?.text === 'three, corrected');
  });

  it('a draft survives a reload', async () => {
    await ana.page.waitForTimeout(1_200);
    await ana.page.reload();
    await ready(ana.page);
    await ana.page.waitForFunction(
      () => document.querySelector('textarea')?.value === 'half a thought',
    );
    await composer(ana.page).fill('');
  });

  it('reading history, fifty arrive: nothing moves and the button says 50 (case 27)', async () => {
    const script = await logIn(server.url, bo.username);
    const anas = await logIn(server.url, ana.username);
    for (let i = 0; i < 80; i++)
      await sendMessage(script, `direct:${anas.userId}`, { text: { body: `before ${i}` } });
    await until(ana.page, (rows) => rows.at(-1)?.text === 'before 79');
    await ana.page.locator('.list-row .badge').waitFor({ state: 'detached' });
    await ana.page.mouse.move(700, 400);
    await ana.page.mouse.wheel(0, -1_500);
    await ana.page.locator('.jump').waitFor();
    await ana.page.waitForTimeout(300);
    const before = await firstInView(ana.page);
    for (let i = 0; i < 50; i++)
      await sendMessage(script, `direct:${anas.userId}`, { text: { body: `after ${i}` } });
    await ana.page.locator('[data-below="50"]').waitFor();
    assert.deepEqual(await firstInView(ana.page), before);
    assert.equal((await texts(ana.page)).includes('after 0'), false);
    await ana.page.locator('.jump').click();
    await until(ana.page, (rows) => rows.at(-1)?.text === 'after 49');
    await ana.page.locator('.jump').waitFor({ state: 'detached' });
  });

  it('scrolling back loads older pages and keeps at most 120 rows in the page', async () => {
    const most = await wheelUpTo(ana.page, 'one, corrected');
    assert.ok(most <= 120, `${most} rows`);
    await send(ana.page, 'back at the end');
    await until(ana.page, (rows) => rows.at(-1)?.text === 'back at the end' && areSettled(rows));
  });

  it('an edit of a row that is not loaded says so and keeps the text; once it is, it is saved', async () => {
    await wheelUpTo(ana.page, 'one, corrected');
    // By key: what a click would scroll to still moves while older pages come.
    await ana.page.locator('.row.mine', { hasText: 'one, corrected' }).press('e');
    await composer(ana.page).fill('one, at last');
    await ana.page.waitForTimeout(600);
    await ana.page.reload();
    await ready(ana.page);
    const rows = await until(ana.page, (now) => now.length > 0);
    assert.ok(rows.every((row) => row.text !== 'one, corrected'));
    await ana.page.getByRole('button', { name: 'Save' }).click();
    await ana.page.getByText('This message is not loaded here.').waitFor();
    assert.equal(await composer(ana.page).inputValue(), 'one, at last');
    await wheelUpTo(ana.page, 'one, corrected');
    await ana.page.getByRole('button', { name: 'Save' }).click();
    await until(ana.page, (now) => now.some((row) => row.text === 'one, at last'));
    assert.equal(await ana.page.getByText('This message is not loaded here.').count(), 0);
  });

  it('a refused change shows on its row, and can be discarded', async () => {
    await openListed(ana.page, 'Rea Der');
    await send(ana.page, 'to be deleted');
    const rows = await until(ana.page, (now) => areSettled(now) && now.length > 0);
    const { key = '', sequence = 0 } = rows.at(-1) ?? {};
    const script = await logIn(server.url, ana.username);
    ana.desk.proxy.cut();
    await ana.page.locator(`[data-key="${key}"]`).click({ button: 'right' });
    await ana.page.getByRole('menuitem', { name: 'Edit' }).click();
    await composer(ana.page).fill('edited too late');
    await ana.page.getByRole('button', { name: 'Save' }).click();
    await deleteMessage(script, await openId(ana.page), sequence);
    await comeOnline(ana.desk);
    const row = ana.page.locator(`[data-key="${key}"]`);
    await row.locator('.tick-failed').waitFor();
    await row.click({ button: 'right' });
    const menu = ana.page.getByRole('menu', { name: 'Message actions' });
    await menu.getByText('Not changed. The message was deleted meanwhile.').waitFor();
    await menu.getByRole('menuitem', { name: 'Discard' }).click();
    await row.locator('.tick-failed').waitFor({ state: 'detached' });
    await openListed(ana.page, 'Bo Lind');
  });

  it('rows are marked read while others go on arriving', async () => {
    const script = await logIn(server.url, ana.username);
    const id = await openId(ana.page);
    await openListed(bo.page, 'Ana Ruiz');
    await send(ana.page, 'flow begins');
    await until(ana.page, (now) => now.at(-1)?.text === 'flow begins' && areSettled(now));
    let isOver = false;
    const flow = (async () => {
      for (let i = 0; i < 40; i++) {
        await sendMessage(script, id, { text: { body: `flow ${i}` } });
        await ana.page.waitForTimeout(100);
      }
      isOver = true;
    })();
    await until(ana.page, (now) =>
      now.some((row) => row.text === 'flow 0' && row.state === 'READ'),
    );
    assert.equal(isOver, false);
    await flow;
  });

  it('the same text twice is announced twice', async () => {
    await ana.page.evaluate(() => {
      const region = document.querySelector('[data-live]');
      const notes = window as unknown as { told: string[] };
      notes.told = [];
      new MutationObserver(() => notes.told.push(region?.textContent ?? '')).observe(
        region ?? document.body,
        { childList: true, subtree: true, characterData: true },
      );
    });
    const told = (): Promise<number> =>
      ana.page.evaluate(
        () =>
          (window as unknown as { told: string[] }).told.filter((text) => text === 'Bo Lind: Yes.')
            .length,
      );
    for (const count of [1, 2]) {
      await send(bo.page, 'Yes.');
      for (let i = 0; i < 100 && (await told()) < count; i++) await ana.page.waitForTimeout(50);
      assert.equal(await told(), count);
    }
  });

  it('a group: made, written in, a role given, left', async () => {
    await ana.page.getByRole('button', { name: 'New conversation' }).first().click();
    await ana.page.getByRole('searchbox', { name: 'People', exact: true }).fill(bo.username);
    await ana.page.locator('.person.pick').first().click();
    await ana.page.getByLabel(/^Group name/).fill('Crew');
    await ana.page.getByRole('button', { name: /^Make the group/ }).click();
    await send(ana.page, 'welcome');
    await openListed(bo.page, 'Crew');
    await until(bo.page, (rows) => rows.at(-1)?.text === 'welcome');
    await ana.page.getByRole('button', { name: 'Members and details' }).click();
    await ana.page.getByRole('button', { name: 'Actions for Bo Lind' }).click();
    await ana.page.getByRole('menuitem', { name: 'Make admin' }).click();
    await bo.page.getByText('You are now an admin').waitFor();
    await bo.page.getByRole('button', { name: 'Members and details' }).click();
    await bo.page.getByRole('button', { name: 'Leave the group' }).click();
    await bo.page.getByRole('button', { name: 'Leave', exact: true }).click();
    await bo.page.keyboard.press('Escape');
    await bo.page.getByText('You are no longer in this conversation.').waitFor();
    await ana.page.locator('[data-member]').nth(1).waitFor({ state: 'detached' });
    await ana.page.keyboard.press('Escape');
  });

  it('offline is said after five seconds with what waits, and no longer once back', async () => {
    await openListed(ana.page, 'Bo Lind');
    ana.desk.proxy.cut();
    const cut = Date.now();
    await send(ana.page, 'patience');
    const tab = ana.page.locator('[data-status="offline"]');
    await tab.waitFor();
    assert.ok(Date.now() - cut > 4_500, `${Date.now() - cut} ms`);
    assert.equal((await tab.textContent())?.trim(), 'Offline, 1 waiting');
    await comeOnline(ana.desk);
    await tab.waitFor({ state: 'detached' });
    await until(ana.page, (rows) => rows.at(-1)?.text === 'patience' && areSettled(rows));
  });

  it('sign-out removes what this device held', async () => {
    await ana.page.getByRole('button', { name: 'Settings' }).click();
    await ana.page.getByRole('button', { name: 'Sign out of this device' }).click();
    await ana.page.getByRole('button', { name: 'Sign out', exact: true }).last().click();
    await ana.page.getByRole('heading', { name: 'Sign in to Parley' }).waitFor();
    assert.equal(await ana.page.evaluate(() => localStorage.getItem('parley.session')), null);
  });

  it('nothing was asked of others and no policy was broken (case 48)', () => {
    assert.deepEqual(trespasses, []);
  });
});

/** Id of the conversation that is open. */
async function openId(page: Page): Promise<string> {
  const open = page.locator('.list-row[aria-current="true"]');
  return (await open.getAttribute('data-conversation')) ?? '';
}

/** Scrolls back until a row is there; the most rows the page held on the way. */
async function wheelUpTo(page: Page, text: string): Promise<number> {
  await page.mouse.move(700, 400);
  let most = 0;
  for (let i = 0; i < 80 && !(await texts(page)).includes(text); i++) {
    await page.mouse.wheel(0, -500);
    await page.waitForTimeout(40);
    most = Math.max(most, (await seen(page)).length);
  }
  assert.ok((await texts(page)).includes(text), text);
  return most;
}

async function firstInView(page: Page): Promise<string> {
  return page.evaluate(() => {
    const top = document.querySelector('.scroll')?.getBoundingClientRect().top ?? 0;
    const row = [...document.querySelectorAll<HTMLElement>('[data-key]')].find(
      (each) => each.getBoundingClientRect().bottom > top,
    );
    return `${row?.dataset['sequence']} at ${row?.getBoundingClientRect().top.toFixed(0)}`;
  });
}
