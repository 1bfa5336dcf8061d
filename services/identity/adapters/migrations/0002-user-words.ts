import type { Migration } from '../migrate.ts';

/**
 * What a search for a user may begin with: the folded name from each beginning of a word on, in byte
 * order, so that a prefix is a range of an index under every locale of the database. A word begins at
 * the start, behind a separator, and at every character from U+2E80 on (names that are written without
 * spaces). The same expression keeps it current in pg-accounts.ts.
 */
export const USER_WORDS: Migration = {
  number: 2,
  name: 'user words',
  sql: `
    create table user_words (
      user_id uuid not null references users (user_id) on delete cascade,
      word text collate "C" not null,
      primary key (user_id, word)
    );
    create index user_words_word on user_words (word);
    create index users_username_bytes on users (username collate "C");

    insert into user_words (user_id, word)
      select distinct u.user_id, substr(u.search_text, at, 100) collate "C"
      from users u, generate_series(1, least(length(u.search_text), 200)) as at
      where at = 1
        or (strpos(' ._-''"()/,&+@', substr(u.search_text, at - 1, 1)) > 0
          and substr(u.search_text, at, 1) <> ' ')
        or substr(u.search_text, at, 1) collate "C" >= '\u2e80';
  `,
};
