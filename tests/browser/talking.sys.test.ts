/** Unread counts, edits, deletes, drafts, groups and the status tab, between real people. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Page } from 'playwright-core';
import { logIn, sendMessage } from './api.ts';
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
    await ana.page.mouse.move(700, 400);
    let most = 0;
    for (let i = 0; i < 80 && !(await texts(ana.page)).includes('one, corrected'); i++) {
      await ana.page.mouse.wheel(0, -500);
      await ana.page.waitForTimeout(40);
      most = Math.max(most, (await seen(ana.page)).length);
    }
    assert.ok((await texts(ana.page)).includes('one, corrected'));
    assert.ok(most <= 120, `${most} rows`);
    await send(ana.page, 'back at the end');
    await until(ana.page, (rows) => rows.at(-1)?.text === 'back at the end' && areSettled(rows));
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

async function firstInView(page: Page): Promise<string> {
  return page.evaluate(() => {
    const top = document.querySelector('.scroll')?.getBoundingClientRect().top ?? 0;
    const row = [...document.querySelectorAll<HTMLElement>('[data-key]')].find(
      (each) => each.getBoundingClientRect().bottom > top,
    );
    return `${row?.dataset['sequence']} at ${row?.getBoundingClientRect().top.toFixed(0)}`;
  });
}
