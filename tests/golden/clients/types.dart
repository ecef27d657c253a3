// Made by `parsimony types` from the classes of the server. Changes here are lost.

import 'package:parse_server_sdk/parse_server_sdk.dart';

class Game extends ParseObject implements ParseCloneable {
  Game() : super(keyTableName);

  Game.clone() : this();

  @override
  Game clone(Map<String, dynamic> map) => Game.clone()..fromJson(map);

  static const String keyTableName = "Game";
  static const String keyArea = "area";
  static const String keyAt = "at";
  static const String keyClass = "class";
  static const String keyDone = "done";
  static const String keyExtra = "extra";
  static const String keyFans = "fans";
  static const String keyIcon = "icon";
  static const String keyOwner = "owner";
  static const String keyPlace = "place";
  static const String keyRaw = "raw";
  static const String keyRival = "rival";
  static const String keyScore = "score";
  static const String keyTags = "tags";
  static const String keyTitle = "title";

  dynamic get area => get<dynamic>(keyArea);
  set area(dynamic value) => set<dynamic>(keyArea, value);

  DateTime? get at => get<DateTime>(keyAt);
  set at(DateTime? value) => set<DateTime?>(keyAt, value);

  String? get class_ => get<String>(keyClass);
  set class_(String? value) => set<String?>(keyClass, value);

  bool? get done => get<bool>(keyDone);
  set done(bool? value) => set<bool?>(keyDone, value);

  Map<String, dynamic>? get extra => get<Map<String, dynamic>>(keyExtra);
  set extra(Map<String, dynamic>? value) => set<Map<String, dynamic>?>(keyExtra, value);

  ParseRelation<User> get fans => getRelation<User>(keyFans);

  ParseFileBase? get icon => get<ParseFileBase>(keyIcon);
  set icon(ParseFileBase? value) => set<ParseFileBase?>(keyIcon, value);

  User? get owner => get<User>(keyOwner);
  set owner(User? value) => set<User?>(keyOwner, value);

  ParseGeoPoint? get place => get<ParseGeoPoint>(keyPlace);
  set place(ParseGeoPoint? value) => set<ParseGeoPoint?>(keyPlace, value);

  dynamic get raw => get<dynamic>(keyRaw);
  set raw(dynamic value) => set<dynamic>(keyRaw, value);

  ParseObject? get rival => get<ParseObject>(keyRival);
  set rival(ParseObject? value) => set<ParseObject?>(keyRival, value);

  num? get score => get<num>(keyScore);
  set score(num? value) => set<num?>(keyScore, value);

  List<dynamic>? get tags => get<List<dynamic>>(keyTags);
  set tags(List<dynamic>? value) => set<List<dynamic>?>(keyTags, value);

  /// Required.
  String? get title => get<String>(keyTitle);
  set title(String? value) => set<String?>(keyTitle, value);
}

class User extends ParseUser implements ParseCloneable {
  User(super.username, super.password, super.emailAddress);

  User.clone() : this(null, null, null);

  @override
  User clone(Map<String, dynamic> map) => User.clone()..fromJson(map);

  static const String keyTableName = "_User";
  static const String keyEmail = "email";

  String? get email => get<String>(keyEmail);
  set email(String? value) => set<String?>(keyEmail, value);
}

/// Cloud functions of the server.
abstract final class CloudFunctions {
  static const String hello = "hello";
  static const String pay_now = "pay.now";
}
