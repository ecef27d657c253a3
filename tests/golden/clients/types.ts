// Made by `parsimony types` from the classes of the server. Changes here are lost.

import type Parse from 'parse';
import type {
  Attributes,
  File as ParseFile_,
  GeoPoint as ParseGeoPoint_,
  Polygon as ParsePolygon_,
  Relation as ParseRelation_,
  User as ParseUser_,
} from 'parse';

// Of what the package exports under the class's own name, only the value is generic.
type ParseObject_<T extends Attributes = Attributes> = InstanceType<typeof Parse.Object<T>>;

export interface GameAttributes {
  area?: ParsePolygon_;
  at?: Date;
  class?: string;
  done?: boolean;
  extra?: Record<string, any>;
  fans: ParseRelation_<Game, User>;
  icon?: ParseFile_;
  owner?: User;
  place?: ParseGeoPoint_;
  raw?: { __type: 'Bytes'; base64: string };
  rival?: ParseObject_;
  score?: number;
  tags?: any[];
  title: string;
}

export type Game = ParseObject_<GameAttributes>;

export interface UserAttributes {
  authData?: Record<string, any>;
  email?: string;
  emailVerified?: boolean;
  password?: string;
  username?: string;
}

export type User = ParseUser_<UserAttributes>;

/** The type of each class, by its name. */
export interface ParseClasses {
  Game: Game;
  _User: User;
}

/** Cloud functions of the server. */
export type CloudFunction =
  | "hello"
  | "pay.now";
