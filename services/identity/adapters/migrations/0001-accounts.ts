import type { Migration } from '../migrate.ts';

/**
 * Accounts (R155: user_id, username, password_hash, status, profile_pic_url, created_at,
 * last_seen_at), devices, sessions, keys, service tokens, keyed requests. Portable SQL: no
 * extensions, no triggers, no server-side functions.
 */
export const ACCOUNTS: Migration = {
  number: 1,
  name: 'accounts',
  sql: `
    create table users (
      user_id uuid primary key,
      username varchar(50) not null,
      password_hash varchar(255) not null,
      kind varchar(16) not null,
      display_name varchar(400) not null,
      search_text text not null,
      picture_media_id uuid,
      profile_pic_url varchar(2000) not null,
      status varchar(16) not null,
      status_text varchar(400) not null,
      reads_privacy varchar(16) not null,
      last_seen_privacy varchar(16) not null,
      created_at timestamptz not null,
      updated_at timestamptz not null,
      last_seen_at timestamptz,
      suspended_at timestamptz,
      version bigint not null,
      constraint users_username_key unique (username)
    );

    create table devices (
      device_id uuid primary key,
      user_id uuid not null references users (user_id) on delete cascade,
      name varchar(400) not null,
      platform varchar(400) not null,
      created_at timestamptz not null,
      updated_at timestamptz not null,
      last_seen_at timestamptz,
      version bigint not null
    );
    create index devices_user on devices (user_id);

    create table sessions (
      session_id uuid primary key,
      user_id uuid not null references users (user_id) on delete cascade,
      device_id uuid not null,
      refresh_count integer not null,
      rotated_at timestamptz not null,
      refresh_expires_at timestamptz not null,
      expires_at timestamptz not null,
      created_at timestamptz not null,
      last_seen_at timestamptz not null,
      revoked_at timestamptz,
      announced_at timestamptz
    );
    create index sessions_user on sessions (user_id);
    create index sessions_unannounced on sessions (revoked_at)
      where revoked_at is not null and announced_at is null;
    create index sessions_revoked on sessions (revoked_at) where revoked_at is not null;

    create table identity_keys (
      key_id varchar(64) primary key,
      kind varchar(16) not null,
      wrapped bytea not null,
      public_key varchar(255) not null,
      created_at timestamptz not null
    );

    create table service_tokens (
      token_id uuid primary key,
      name varchar(400) not null,
      token_hash bytea not null,
      scopes varchar(400) not null,
      created_at timestamptz not null,
      revoked_at timestamptz,
      constraint service_tokens_hash_key unique (token_hash)
    );

    create table signup_codes (
      code_hash bytea primary key,
      uses_left integer not null,
      created_at timestamptz not null
    );

    create table keyed_requests (
      caller varchar(64) not null,
      method varchar(100) not null,
      request_key varchar(128) not null,
      request_hash varchar(128) not null,
      result text,
      claimed_at timestamptz not null,
      primary key (caller, method, request_key)
    );
    create index keyed_requests_age on keyed_requests (claimed_at);
  `,
};
